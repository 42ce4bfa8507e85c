#include "tessera/ops/placement.hpp"

#include "tessera/base/error.hpp"
#include "tessera/spec/sharding.hpp"

namespace tessera::ops {

TensorSpec placed(TensorSpec output, const tensor::Tensor& like, const std::optional<MemoryConfig>& asked) {
  const MemoryConfig& own = like.memory_config();
  output.memory_config = asked ? *asked : own;
  const MemoryConfig& wanted = output.memory_config;
  if (!wanted.is_sharded() || (asked && asked->shard_spec)) return output;
  if (own.memory_layout != wanted.memory_layout || own.buffer_type != wanted.buffer_type) {
    output.memory_config = sharded_over(output, wanted.memory_layout, like.device().board().arch, wanted.buffer_type);
    return output;
  }
  const TensorSpec& other = like.spec();
  if (output.layout == other.layout && output.physical_height() == other.physical_height() &&
      output.physical_width() == other.physical_width()) {
    output.memory_config = own;
    return output;
  }
  const ShardSpec& shard = *own.shard_spec;
  output.memory_config = sharded_over(output, own.memory_layout, CoreGrid{shard.grid_rows, shard.grid_columns},
                                      own.buffer_type, shard.orientation);
  return output;
}

void require_height_sharded(std::string_view op, std::string_view argument, const tensor::Tensor& tensor) {
  base::require(tensor.memory_config().memory_layout == TensorMemoryLayout::HEIGHT_SHARDED,
                "[{}] {} must be HEIGHT_SHARDED, a user's heads on a core; received {}; make it so with "
                "nlp_create_qkv_heads_decode or to_memory_config",
                op, argument, tensor.spec());
}

} // namespace tessera::ops
