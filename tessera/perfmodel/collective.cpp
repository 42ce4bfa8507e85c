#include <algorithm>
#include <string>

#include "tessera/base/error.hpp"
#include "tessera/perfmodel/op_kinds.hpp"

namespace tessera::perfmodel {
namespace {

std::string topology_of(const OpRecord& record) {
  for (const auto& [key, value] : record.attributes) {
    if (key == "topology" && std::holds_alternative<std::string>(value)) return std::get<std::string>(value);
  }
  return "Linear";
}

} // namespace

bool is_collective(std::string_view name) {
  return name == "all_gather" || name == "reduce_scatter" || name == "all_reduce" || name == "all_to_all" ||
         name == "all_broadcast" || name == "point_to_point";
}

/// Source of the form: the vendor's closed-form fits, start + hop * hops + bytes / rate, `bytes` being what the busiest
/// link carries in one direction.
Prediction predict_collective(const OpCase& op) {
  const std::string& name = op.record.name;
  const bool passes_on = name == "all_broadcast" || name == "point_to_point"; // as all_gather does
  const std::string algorithm = passes_on ? "all_gather" : name;
  const bool pair = attribute(op.record, "num_devices", 0) == 2 && name != "all_to_all";
  const std::string key = algorithm + "." + (pair ? "Pair" : name == "all_to_all" ? "Linear" : topology_of(op.record));
  const auto found = op.constants.collectives.find(key);
  base::require<base::IoError>(found != op.constants.collectives.end(),
                               "[perfmodel] constants for {} are required; none stand in constants.json", key);
  const CollectiveConstants& fit = found->second;
  const double hops = static_cast<double>(attribute(op.record, "hops", 1));
  const double bytes = static_cast<double>(op.record.work.ethernet_bytes);
  // Fitted at 12.5 GB/s for a link; other links are faster in proportion.
  const double rate = fit.bytes_per_s * (op.board.link_bytes_per_s > 0 ? op.board.link_bytes_per_s / 12.5e9 : 1.0);
  const double transfer_ns = bytes / rate * kNsPerS;
  Prediction result;
  result.time_ns = fit.start_ns + fit.hop_ns * hops + transfer_ns;
  result.bound = Bound::ETHERNET;
  result.ideal_ns = op.board.link_bytes_per_s > 0 ? bytes / op.board.link_bytes_per_s * kNsPerS : 0;
  return result;
}

} // namespace tessera::perfmodel
