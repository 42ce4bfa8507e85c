#include "tessera/ops/ccl/reduce_scatter.hpp"

#include "tessera/ops/ccl/collective.hpp"
#include "tessera/ops/ccl/stages.hpp"
#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

Tensor reduce_scatter(const Tensor& input_tensor, int dim, const CclOptions& options) {
  require_tile("reduce_scatter", "input_tensor", input_tensor);
  const Collective collective("reduce_scatter", input_tensor, options);
  collective.require_dim("dim", dim);
  collective.require_divisible(dim);
  if (collective.is_identity()) return input_tensor;
  const ChipGroups& groups = collective.groups();
  const Arrangement arrangement = Arrangement(input_tensor.shape()).split(dim, groups.size());
  const Tensor output = collective.allocate(arrangement.output());
  const Operand operand{"output", output};
  collective.launch(sum({input_tensor, output, groups, false}, arrangement), Operands(&operand, 1),
                    pass_to_all(collective.topology(), groups.size(), output.spec().size_bytes()),
                    {{{"dim", std::int64_t{dim}}},
                     {.vector_flops = (groups.size() - 1) * output.shape().volume()},
                     shared(sum_units(output.dtype()))});
  return output;
}

Tensor all_reduce(const Tensor& input_tensor, const CclOptions& options) {
  require_tile("all_reduce", "input_tensor", input_tensor);
  const Collective collective("all_reduce", input_tensor, options);
  if (collective.is_identity()) return input_tensor;
  const ChipGroups& groups = collective.groups();
  const Tensor output = collective.allocate(input_tensor.shape());
  const Operand operand{"output", output};
  const Traffic half =
      pass_to_all(collective.topology(), groups.size(), div_up(output.spec().size_bytes(), groups.size()));
  collective.launch(sum({input_tensor, output, groups, true}, Arrangement(input_tensor.shape())), Operands(&operand, 1),
                    {2 * half.bytes, 2 * half.hops},
                    {{},
                     {.vector_flops = (groups.size() - 1) * div_up(output.shape().volume(), groups.size())},
                     shared(sum_units(output.dtype()))});
  return output;
}

} // namespace tessera::ops
