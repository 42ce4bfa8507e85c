#include "tessera/ops/ccl/collective.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/exchange.hpp"
#include "tessera/spec/sharding.hpp"

namespace tessera::ops {
namespace {

const Tensor& checked(std::string_view op, const Tensor& input) {
  if (!input.defined() || input.shape().rank() < 2 ||
      (input.layout() != Layout::ROW_MAJOR && is_integer(input.dtype()))) {
    throw base::InvalidArgument(
        fmt::format("[{}] input_tensor must be of rank 2 or more, floating-point or in ROW_MAJOR; received {}", op,
                    input.defined() ? to_string(input.spec()) : "none"));
  }
  return input;
}

} // namespace

Collective::Collective(std::string_view op, const Tensor& input, CclOptions options)
    : op_(op),
      input_(checked(op, input)),
      options_(std::move(options)),
      groups_(op, input.device(), options_.cluster_axis) {
  const std::int64_t most = std::max<std::int64_t>(1, input.device().board().links_per_neighbour);
  num_links_ = options_.num_links.value_or(most);
  base::require(1 <= num_links_ && num_links_ <= most, "[{}] num_links must be in 1..{} on a {}; received {}", op, most,
                input.device().board().name, num_links_);
}

bool Collective::is_identity() const {
  return groups_.size() == 1 &&
         placed(input_.spec(), input_, options_.memory_config).memory_config == input_.memory_config();
}

void Collective::require_dim(std::string_view argument, int dim) const {
  const auto rank = static_cast<int>(input_.shape().rank());
  base::require(0 <= dim && dim < rank, "[{}] {} must be in 0..{} for {}; received {}", op_, argument, rank - 1,
                input_.shape(), dim);
}

void Collective::require_divisible(int dim) const {
  base::require(input_.shape()[dim] % groups_.size() == 0,
                "[{}] dimension {} must be a multiple of the {} chips that share it; received {}; pad it to {}", op_,
                dim, groups_.size(), input_.shape(), round_up(input_.shape()[dim], groups_.size()));
}

Tensor Collective::allocate(const Shape& shape) const {
  TensorSpec spec = input_.spec();
  spec.shape = shape;
  const MemoryConfig& own = input_.memory_config();
  const bool new_width = own.buffer_type == BufferType::L1 && own.memory_layout == TensorMemoryLayout::WIDTH_SHARDED &&
                         shape[-1] != input_.shape()[-1];
  // The width of another tensor on each chip: over the cores that such tensors lie on, not over those of the input.
  if (new_width && !options_.memory_config) {
    spec.memory_config = sharded_over(spec, own.memory_layout, input_.device().board().arch);
    spec.memory_config.shard_spec->orientation = own.shard_spec->orientation;
  } else {
    spec = placed(spec, input_, options_.memory_config);
  }
  const runtime::MemoryKindScope kind(input_.device(), runtime::MemoryKind::COLLECTIVES);
  return Tensor::allocate(input_.device(), spec, op_);
}

runtime::Messages Collective::exchange() const {
  runtime::Exchange exchange(input_.device(), input_.host_bytes(), input_.spec().size_bytes());
  const std::int64_t chips = input_.device().ranks() == 1 ? 0 : input_.device().chips();
  for (std::int64_t chip = 0; chip < chips; ++chip) {
    for (std::int64_t place = 0; place < groups_.size(); ++place) exchange.bring(groups_.member(chip, place), chip);
  }
  return exchange.take();
}

void Collective::launch(runtime::Stage stage, Operands outputs, const Traffic& traffic, const OpDetails& own) const {
  launch(std::move(stage), exchange(), outputs, traffic, own);
}

void Collective::launch(runtime::Stage stage, runtime::Messages messages, Operands outputs, const Traffic& traffic,
                        const OpDetails& own) const {
  const Operand input{"input_tensor", input_};
  runtime::Program program{.name = op_, .exchange = std::move(messages)};
  program.stages.push_back(std::move(stage));
  ops::launch(input_.device(), std::move(program), Operands(&input, 1), outputs, [&] {
    OpDetails details = own;
    Attributes& attributes = details.attributes;
    if (options_.cluster_axis) attributes.emplace_back("cluster_axis", std::int64_t{*options_.cluster_axis});
    attributes.emplace_back("topology", std::string(options_.topology == Topology::Ring ? "Ring" : "Linear"));
    attributes.emplace_back("num_links", num_links_);
    attributes.emplace_back("num_devices", groups_.size());
    attributes.emplace_back("hops", traffic.hops);
    details.work.ethernet_bytes = div_up(traffic.bytes, num_links_);
    return details;
  });
}

} // namespace tessera::ops
