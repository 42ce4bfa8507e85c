#include "tessera/profile/fingerprint.hpp"

#include <cstring>
#include <string_view>

namespace tessera::profile {
namespace {

/// Takes eight bytes at a time: a queue's thread computes it between two ops.
class Hash {
 public:
  void add(std::uint64_t value) {
    state_ = (state_ ^ value) * 0x9E3779B97F4A7C15U; // 2^64 over the golden ratio
    state_ ^= state_ >> 32;
  }
  void add(std::string_view text) {
    add(text.size());
    while (text.size() >= sizeof(std::uint64_t)) {
      add(word(text, sizeof(std::uint64_t)));
      text.remove_prefix(sizeof(std::uint64_t));
    }
    if (!text.empty()) add(word(text, text.size()));
  }
  std::uint64_t value() const { return state_; }

 private:
  static std::uint64_t word(std::string_view text, std::size_t bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, text.data(), bytes);
    return value;
  }

  std::uint64_t state_ = 0;
};

void add(Hash& hash, const OperandRecord& operand) {
  const TensorSpec& spec = operand.spec;
  const MemoryConfig& memory = spec.memory_config;
  hash.add(operand.name);
  hash.add(static_cast<std::uint64_t>(spec.dtype) | static_cast<std::uint64_t>(spec.layout) << 8 |
           static_cast<std::uint64_t>(memory.buffer_type) << 16 |
           static_cast<std::uint64_t>(memory.memory_layout) << 24 |
           static_cast<std::uint64_t>(spec.shape.rank()) << 32 |
           static_cast<std::uint64_t>(memory.shard_spec.has_value()) << 40);
  for (const std::int64_t extent : spec.shape.extents()) hash.add(static_cast<std::uint64_t>(extent));
  if (!memory.shard_spec) return;
  for (const std::int64_t extent :
       {memory.shard_spec->grid_rows, memory.shard_spec->grid_columns, memory.shard_spec->shard_height,
        memory.shard_spec->shard_width, static_cast<std::int64_t>(memory.shard_spec->orientation)}) {
    hash.add(static_cast<std::uint64_t>(extent));
  }
}

} // namespace

std::uint64_t fingerprint(const OpRecord& record) {
  Hash hash;
  hash.add(record.name);
  hash.add(record.scope);
  hash.add(record.inputs.size());
  for (const OperandRecord& input : record.inputs) add(hash, input);
  for (const OperandRecord& output : record.outputs) add(hash, output);
  const OpWork& work = record.work;
  for (const std::int64_t amount : {work.matmul_flops, static_cast<std::int64_t>(work.fidelity), work.vector_flops,
                                    work.dram_read_bytes, work.dram_write_bytes, work.l1_bytes, work.ethernet_bytes}) {
    hash.add(static_cast<std::uint64_t>(amount));
  }
  return hash.value();
}

} // namespace tessera::profile
