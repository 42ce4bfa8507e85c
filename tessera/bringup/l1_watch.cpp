#include "tessera/bringup/l1_watch.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/bringup/judge.hpp"

namespace tessera::bringup {
namespace {

/// From here on a row says what fills L1: little is left for other tensors.
constexpr double kNearlyFull = 0.9;

} // namespace

L1Watch::L1Watch(const std::vector<runtime::MeshDevice*>& devices) : devices_(devices) {
  for (runtime::MeshDevice* device : devices_) device->reset_fullest_l1();
}

void L1Watch::judge(Row& row) const {
  if (devices_.empty()) return;
  const runtime::MeshDevice* fullest = *std::ranges::max_element(
      devices_, {}, [](const runtime::MeshDevice* device) { return device->fullest_l1().bytes(); });
  const runtime::MeshDevice::L1Fill& fill = fullest->fullest_l1();
  const auto& layout = fullest->allocator(BufferType::L1).layout();
  const auto room = static_cast<double>(layout.end - layout.begin);
  row.figures.push_back({kL1Figure, static_cast<double>(fill.bytes()), Bound{Bound::Kind::AT_MOST, room}});
  row.passed = row.passed && row.figures.back().holds();
  if (static_cast<double>(fill.bytes()) < kNearlyFull * room) return;
  row.notes.push_back(fmt::format("L1 is fullest in {}: {} bytes of circular buffers and {} of tensors in each core",
                                  fill.place, fill.circular_buffer_bytes, fill.tensor_bytes));
}

Row judge_on_device(const std::string& module, const std::vector<runtime::MeshDevice*>& devices,
                    const std::function<Row()>& judge) {
  const L1Watch l1(devices);
  Row row;
  try {
    row = judge();
  } catch (const base::Error& error) {
    row = {.module = module, .passed = false, .notes = {error.what()}};
  }
  l1.judge(row);
  return row;
}

} // namespace tessera::bringup
