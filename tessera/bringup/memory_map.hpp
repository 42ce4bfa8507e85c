#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tessera/runtime/mesh_device.hpp"
#include "tessera/runtime/observer.hpp"

namespace tessera::bringup {

/// What one memory of a chip held after each op of a recorded run, by what it is used for.
struct MemoryHistory {
  using ByKind = std::array<std::int64_t, runtime::kMemoryKinds>;
  std::vector<ByKind> used;                   ///< bytes over all banks, with padding; [ops]
  std::vector<std::int64_t> circular_buffers; ///< of L1: bytes on all cores while each op runs; of DRAM: none
  std::map<std::string, std::int64_t> held;   ///< at the peak: bytes of each tensor, those of all layers together
  std::int64_t peak = 0;
  std::size_t peak_op = 0;
  std::int64_t capacity = 0;

  /// Tensors and circular buffers.
  std::int64_t total(std::size_t op) const;
};

/// DRAM and L1 of a chip over time: a prefill, then a decode step.
struct MemoryMap {
  struct Op {
    std::string name;
    std::string scope;
  };
  struct Phase {
    std::string name;
    std::size_t first_op = 0;
  };
  std::vector<Op> ops;
  std::vector<Phase> phases;
  MemoryHistory dram;
  MemoryHistory l1;
};

/// Watches a device in record mode while it lives.
class MemoryWatch : public runtime::QueueObserver {
 public:
  explicit MemoryWatch(runtime::MeshDevice& device);
  ~MemoryWatch() override;
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  /// What follows belongs to this phase.
  void begin(std::string phase);
  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) override;
  const MemoryMap& map() const { return map_; }

 private:
  runtime::MeshDevice& device_;
  MemoryMap map_;
};

/// Peaks of each phase, where they stand, and what lies in memory at the highest.
std::string memory_map_text(const MemoryMap& map);
/// {"phases", "ops": [[name, scope]], "dram": {"peak_bytes", "peak_op", "peak_op_number", "capacity_bytes",
/// "held_bytes", "used_bytes": [ops], "used_bytes_by_kind": {kind: [ops]}}, "l1": {..., "circular_buffer_bytes":
/// [ops]}}.
nlohmann::json memory_map_json(const MemoryMap& map);
/// The inverse. Throws InvalidArgument when the JSON was not made by it.
MemoryMap memory_map_from_json(const nlohmann::json& json);

/// "mul in layers.0.mlp": an op of the map.
std::string place_of(const MemoryMap& map, std::size_t op);
/// Tensors that are held at the peak by bytes, the largest first.
std::vector<std::pair<std::string, std::int64_t>> largest_held(const MemoryHistory& history);
/// Both memories as stacked areas over the ops; readable in light and dark.
std::string memory_map_svg(const MemoryMap& map, const std::string& title);

} // namespace tessera::bringup
