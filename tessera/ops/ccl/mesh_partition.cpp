#include "tessera/ops/ccl/mesh_partition.hpp"

#include "tessera/ops/ccl/collective.hpp"
#include "tessera/ops/ccl/stages.hpp"
#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

Tensor mesh_partition(const Tensor& input_tensor, int dim, const CclOptions& options) {
  const Collective collective("mesh_partition", input_tensor, options);
  collective.require_dim("dim", dim);
  collective.require_divisible(dim);
  if (collective.is_identity()) return input_tensor;
  const ChipGroups& groups = collective.groups();
  const Arrangement arrangement = Arrangement(input_tensor.shape()).split(dim, groups.size());
  const Tensor output = collective.allocate(arrangement.output());
  const Operand operand{"output", output};
  OpWork work; // of the input the chip reads its part only
  const auto count = [&](const Tensor& tensor, std::int64_t OpWork::*dram_bytes) {
    const bool in_dram = tensor.memory_config().buffer_type == BufferType::DRAM;
    work.*(in_dram ? dram_bytes : &OpWork::l1_bytes) += output.spec().size_bytes();
  };
  count(input_tensor, &OpWork::dram_read_bytes);
  count(output, &OpWork::dram_write_bytes);
  collective.launch(assemble({input_tensor, output, groups, false}, arrangement), {}, Operands(&operand, 1), {},
                    {{{"dim", std::int64_t{dim}}}, work, movement()});
  return output;
}

} // namespace tessera::ops
