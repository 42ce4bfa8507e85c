#include <array>

#include "tessera/base/error.hpp"
#include "tessera/reference/ops/golden_call.hpp"

namespace tessera::reference {
namespace {

std::vector<GoldenEntry> all_entries() {
  std::vector<GoldenEntry> entries;
  for (const auto group : {matmul_goldens, eltwise_goldens, norm_goldens, movement_goldens, attention_goldens,
                           cache_goldens, routing_goldens, sampling_goldens, image_goldens, collective_goldens}) {
    const std::span<const GoldenEntry> own = group();
    entries.insert(entries.end(), own.begin(), own.end());
  }
  return entries;
}

const std::vector<GoldenEntry>& entries() {
  static const std::vector<GoldenEntry> all = all_entries();
  return all;
}

const GoldenEntry* find(std::string_view op) {
  for (const GoldenEntry& entry : entries()) {
    if (entry.op == op) return &entry;
  }
  return nullptr;
}

} // namespace

bool has_golden(std::string_view op) {
  return find(op) != nullptr;
}

bool is_collective(std::string_view op) {
  const GoldenEntry* const entry = find(op);
  return entry != nullptr && entry->collective;
}

std::vector<std::string_view> golden_ops() {
  std::vector<std::string_view> names;
  for (const GoldenEntry& entry : entries()) names.push_back(entry.op);
  return names;
}

std::vector<GoldenOutput> golden(const GoldenRequest& request) {
  const GoldenEntry* const entry = find(request.record.name);
  base::require(entry != nullptr, "[golden] an op with a golden function is required; received {}",
                request.record.name);
  const at::NoGradGuard no_grad;
  try {
    return entry->function(GoldenCall(request));
  } catch (const c10::Error& error) {
    throw base::InvalidArgument(
        fmt::format("[golden] operands of {} that fit are required; {}", entry->op, error.what_without_backtrace()));
  }
}

} // namespace tessera::reference
