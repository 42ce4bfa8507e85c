#include "tessera/bringup/memory_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "tessera/bringup/run_file.hpp"

namespace tessera::bringup {
namespace {

constexpr std::size_t kRowsHeld = 12;

/// "layers.3.mlp.w1" as "layers.*.mlp.w1".
std::string of_all_layers(std::string name) {
  constexpr std::string_view kLayers = "layers.";
  const std::size_t at = name.find(kLayers);
  if (at == std::string::npos) return name;
  const std::size_t first = at + kLayers.size();
  const std::size_t last = std::min(name.find_first_not_of("0123456789", first), name.size());
  return last > first ? name.replace(first, last - first, "*") : name;
}

void note(const runtime::BankAllocator& allocator, MemoryHistory& history) {
  history.used.push_back(allocator.usage().used_by_kind);
  const std::size_t op = history.used.size() - 1;
  if (history.total(op) <= history.peak) return;
  history.peak = history.total(op);
  history.peak_op = op;
  history.held.clear();
  for (const auto& [address, allocation] : allocator.allocations())
    history.held[of_all_layers(allocation.label.name)] += allocation.bytes_per_bank * allocator.layout().banks;
}

std::size_t end_of(const MemoryMap& map, std::size_t phase) {
  return phase + 1 < map.phases.size() ? map.phases[phase + 1].first_op : map.ops.size();
}

/// The op after which a phase uses most.
std::size_t highest(const MemoryHistory& history, std::size_t first, std::size_t last) {
  std::size_t best = first;
  for (std::size_t op = first; op < last; ++op)
    if (history.total(op) > history.total(best)) best = op;
  return best;
}

double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

std::string held_text(const MemoryHistory& history, std::string_view memory) {
  std::string text = fmt::format("\nheld at the peak of {:<34} {:>10}\n", memory, "MB");
  const auto rows = largest_held(history);
  for (std::size_t i = 0; i < std::min(rows.size(), kRowsHeld); ++i)
    text += fmt::format("  {:<52} {:>10.2f}\n", rows[i].first, megabytes(rows[i].second));
  if (rows.size() > kRowsHeld) text += fmt::format("  and {} more\n", rows.size() - kRowsHeld);
  return text;
}

std::string_view kind_name(std::size_t kind) {
  return runtime::to_string(static_cast<runtime::MemoryKind>(kind));
}

nlohmann::json history_json(const MemoryMap& map, const MemoryHistory& history) {
  nlohmann::json used = nlohmann::json::array();
  nlohmann::json by_kind = nlohmann::json::object();
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    nlohmann::json& bytes = by_kind[std::string(kind_name(kind))] = nlohmann::json::array();
    for (const auto& of_op : history.used) bytes.push_back(of_op[kind]);
  }
  for (std::size_t op = 0; op < history.used.size(); ++op) used.push_back(history.total(op));
  nlohmann::json held = nlohmann::json::object();
  for (const auto& [name, bytes] : history.held) held[name] = bytes;
  nlohmann::json json{{"peak_bytes", history.peak},
                      {"peak_op", map.ops.empty() ? "" : place_of(map, history.peak_op)},
                      {"peak_op_number", history.peak_op},
                      {"capacity_bytes", history.capacity},
                      {"held_bytes", held},
                      {"used_bytes", used},
                      {"used_bytes_by_kind", by_kind}};
  if (!history.circular_buffers.empty()) json["circular_buffer_bytes"] = history.circular_buffers;
  return json;
}

MemoryHistory history_from_json(const nlohmann::json& in, std::size_t ops) {
  const nlohmann::json& peak_op = in.at("peak_op_number");
  base::require(peak_op.is_number_unsigned() && peak_op.get<std::size_t>() < std::max<std::size_t>(ops, 1),
                "peak_op_number must be one of the {} ops; received {}", ops, peak_op.dump());
  base::require(ops > 0 || in.at("peak_bytes") == 0, "a peak must be after an op; received none");
  MemoryHistory history{.used = std::vector<MemoryHistory::ByKind>(ops),
                        .held = in.at("held_bytes").get<std::map<std::string, std::int64_t>>(),
                        .peak = in.at("peak_bytes"),
                        .peak_op = peak_op,
                        .capacity = in.at("capacity_bytes")};
  const nlohmann::json& by_kind = in.at("used_bytes_by_kind");
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    const auto bytes = by_kind.at(std::string(kind_name(kind))).get<std::vector<std::int64_t>>();
    for (std::size_t op = 0; op < ops; ++op) history.used[op][kind] = bytes.at(op);
  }
  if (in.contains("circular_buffer_bytes")) {
    history.circular_buffers = in["circular_buffer_bytes"].get<std::vector<std::int64_t>>();
    history.circular_buffers.resize(ops);
  }
  return history;
}

} // namespace

std::int64_t MemoryHistory::total(std::size_t op) const {
  return std::accumulate(used.at(op).begin(), used.at(op).end(),
                         circular_buffers.empty() ? std::int64_t{0} : circular_buffers.at(op));
}

MemoryWatch::MemoryWatch(runtime::MeshDevice& device) : device_(device) {
  map_.dram.capacity = device.capacity_bytes(BufferType::DRAM);
  map_.l1.capacity = device.capacity_bytes(BufferType::L1);
  device_.add_observer(*this);
}

MemoryWatch::~MemoryWatch() {
  device_.remove_observer(*this);
}

void MemoryWatch::begin(std::string phase) {
  map_.phases.push_back({std::move(phase), map_.ops.size()});
}

void MemoryWatch::after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) {
  map_.ops.push_back({record.name, record.scope});
  map_.l1.circular_buffers.push_back(run.circular_buffer_bytes * device.board().arch.worker_cores());
  note(device.allocator(BufferType::DRAM), map_.dram);
  const std::int64_t peak = map_.l1.peak;
  note(device.allocator(BufferType::L1), map_.l1);
  if (map_.l1.peak > peak) map_.l1.held["circular buffers"] = map_.l1.circular_buffers.back();
}

std::string memory_map_text(const MemoryMap& map) {
  std::string text = fmt::format("\n{:<10} {:>6} {:>11}  {:<44} {:>9}  {}\n", "over time", "ops", "DRAM, MB",
                                 "highest after", "L1, MB", "highest after");
  for (std::size_t i = 0; i < map.phases.size(); ++i) {
    const std::size_t first = map.phases[i].first_op;
    const std::size_t last = end_of(map, i);
    if (first == last) continue;
    const std::size_t dram = highest(map.dram, first, last);
    const std::size_t l1 = highest(map.l1, first, last);
    const auto after = [&](const MemoryHistory& history, std::size_t op) {
      return history.total(op) > 0 ? place_of(map, op) : "-";
    };
    text += fmt::format("{:<10} {:>6} {:>11.1f}  {:<44} {:>9.2f}  {}\n", map.phases[i].name, last - first,
                        megabytes(map.dram.total(dram)), after(map.dram, dram), megabytes(map.l1.total(l1)),
                        after(map.l1, l1));
  }
  return text + held_text(map.dram, "DRAM") + held_text(map.l1, "L1");
}

nlohmann::json memory_map_json(const MemoryMap& map) {
  nlohmann::json phases = nlohmann::json::array();
  for (const MemoryMap::Phase& phase : map.phases)
    phases.push_back({{"name", phase.name}, {"first_op", phase.first_op}});
  nlohmann::json ops = nlohmann::json::array();
  for (const MemoryMap::Op& op : map.ops) ops.push_back({op.name, op.scope});
  return {{"phases", phases}, {"ops", ops}, {"dram", history_json(map, map.dram)}, {"l1", history_json(map, map.l1)}};
}

MemoryMap memory_map_from_json(const nlohmann::json& in) {
  return run_file::converted("memory.json", [&] {
    MemoryMap map;
    for (const auto& op : in.at("ops")) map.ops.push_back({op.at(0), op.at(1)});
    for (const auto& phase : in.at("phases")) map.phases.push_back({phase.at("name"), phase.at("first_op")});
    map.dram = history_from_json(in.at("dram"), map.ops.size());
    map.l1 = history_from_json(in.at("l1"), map.ops.size());
    return map;
  });
}

std::string place_of(const MemoryMap& map, std::size_t op) {
  const auto& [name, scope] = map.ops.at(op);
  return scope.empty() ? name : fmt::format("{} in {}", name, scope);
}

std::vector<std::pair<std::string, std::int64_t>> largest_held(const MemoryHistory& history) {
  std::vector<std::pair<std::string, std::int64_t>> rows(history.held.begin(), history.held.end());
  std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  return rows;
}

} // namespace tessera::bringup
