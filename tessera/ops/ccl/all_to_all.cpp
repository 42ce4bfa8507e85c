#include "tessera/ops/ccl/all_to_all.hpp"

#include "tessera/ops/ccl/collective.hpp"
#include "tessera/ops/ccl/stages.hpp"
#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

Tensor all_to_all(const Tensor& input_tensor, int split_dim, int concat_dim, const CclOptions& options) {
  const Collective collective("all_to_all", input_tensor, options);
  collective.require_dim("split_dim", split_dim);
  collective.require_dim("concat_dim", concat_dim);
  collective.require_divisible(split_dim);
  if (collective.is_identity()) return input_tensor;
  const ChipGroups& groups = collective.groups();
  const Arrangement arrangement =
      Arrangement(input_tensor.shape()).split(split_dim, groups.size()).concat(concat_dim, groups.size());
  const Tensor output = collective.allocate(arrangement.output());
  const Operand operand{"output", output};
  collective.launch(
      assemble({input_tensor, output, groups, false}, arrangement), Operands(&operand, 1),
      exchange(collective.topology(), groups.size(), div_up(input_tensor.spec().size_bytes(), groups.size())),
      {{{"split_dim", std::int64_t{split_dim}}, {"concat_dim", std::int64_t{concat_dim}}}, {}, movement()});
  return output;
}

} // namespace tessera::ops
