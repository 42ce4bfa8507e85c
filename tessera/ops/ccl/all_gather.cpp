#include "tessera/ops/ccl/all_gather.hpp"

#include <cstring>

#include "tessera/ops/ccl/collective.hpp"
#include "tessera/ops/ccl/stages.hpp"
#include "tessera/ops/exact/rows.hpp"

namespace tessera::ops {

Tensor all_gather(const Tensor& input_tensor, int dim, const CclOptions& options) {
  const Collective collective("all_gather", input_tensor, options);
  collective.require_dim("dim", dim);
  if (collective.is_identity()) return input_tensor;
  const ChipGroups& groups = collective.groups();
  const Arrangement arrangement = Arrangement(input_tensor.shape()).concat(dim, groups.size());
  const Tensor output = collective.allocate(arrangement.output());
  const Operand operand{"output", output};
  collective.launch(assemble({input_tensor, output, groups, true}, arrangement), Operands(&operand, 1),
                    pass_to_all(collective.topology(), groups.size(), input_tensor.spec().size_bytes()),
                    {{{"dim", std::int64_t{dim}}}, {}, movement()});
  return output;
}

std::vector<Tensor> all_broadcast(const Tensor& input_tensor, const CclOptions& options) {
  const Collective collective("all_broadcast", input_tensor, options);
  if (collective.is_identity()) return {input_tensor};
  const ChipGroups& groups = collective.groups();
  std::vector<Tensor> outputs;
  std::vector<DeviceView> views;
  std::vector<std::string> names;
  for (std::int64_t place = 0; place < groups.size(); ++place) {
    outputs.push_back(collective.allocate(input_tensor.shape()));
    views.push_back(outputs.back().view());
    names.push_back(fmt::format("output_{}", place));
  }
  std::vector<Operand> operands;
  for (std::size_t i = 0; i < outputs.size(); ++i) operands.push_back({names[i], outputs[i]});

  const std::int64_t bytes = input_tensor.spec().size_bytes();
  const auto body = [groups, in = input_tensor.view(), views](std::int64_t chip, std::int64_t first,
                                                              std::int64_t count) {
    for (std::int64_t place = 0; place < groups.size(); ++place)
      std::memcpy(views[static_cast<std::size_t>(place)].bytes(chip) + first,
                  in.bytes(groups.member(chip, place)) + first, static_cast<std::size_t>(count));
  };
  collective.launch(copy_bytes(bytes, groups.size(), body), operands,
                    pass_to_all(collective.topology(), groups.size(), bytes), {.decomposition = movement()});
  return outputs;
}

} // namespace tessera::ops
