#include "tessera/ops/sampling/sampling.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/sampling/draw_token.hpp"
#include "tessera/ops/sampling/rows_program.hpp"

namespace tessera::ops {
namespace {

void require_floats(std::string_view argument, const Tensor& tensor, const Shape& shape) {
  base::require(tensor.defined() && tensor.dtype() == DataType::FLOAT32 && tensor.layout() == Layout::ROW_MAJOR &&
                    tensor.shape() == shape,
                "[sampling] {} must be FLOAT32 {} in ROW_MAJOR; received {}", argument, shape,
                tensor.defined() ? to_string(tensor.spec()) : "none");
}

void check(const Tensor& logits, const SamplingTensors& parameters, const Tensor& output) {
  require_tile("sampling", "input_tensor", logits);
  const std::int64_t users = logits.shape()[-2];
  require_shape("sampling", "input_tensor", logits, {1, 1, users, logits.shape()[-1]});
  base::require(users > 0 && 0 < logits.shape()[-1] && logits.shape()[-1] <= kMostLogits,
                "[sampling] input_tensor must have 1 or more users and 1 to {} logits of each; received {}",
                kMostLogits, logits.shape());
  require_floats("temperature", parameters.temperature, {users});
  require_integers("sampling", "k", parameters.k, {users});
  require_floats("p", parameters.p, {users});
  const Tensor& seed = parameters.seed;
  base::require(seed.defined() && is_integer(seed.dtype()) && seed.layout() == Layout::ROW_MAJOR &&
                    seed.shape() == Shape{users, 2},
                "[sampling] seed must be INT32 or UINT32 {} in ROW_MAJOR; received {}", Shape{users, 2},
                seed.defined() ? to_string(seed.spec()) : "none");
  require_integers("sampling", "positions", parameters.positions, {users});
  base::require(output.defined() && output.dtype() == DataType::INT32 && output.layout() == Layout::ROW_MAJOR &&
                    output.shape().volume() == users,
                "[sampling] output must be INT32 {} in ROW_MAJOR; received {}", Shape{1, 1, users},
                output.defined() ? to_string(output.spec()) : "none");
}

/// The tensors of parameters as programs see them.
struct ParameterViews {
  explicit ParameterViews(const SamplingTensors& tensors)
      : temperature(tensors.temperature.view()),
        k(tensors.k.view()),
        p(tensors.p.view()),
        seed(tensors.seed.view()),
        positions(tensors.positions.view()) {}

  std::int32_t position(std::int64_t chip, std::int64_t user) const {
    return positions.elements<std::int32_t>(chip)[user];
  }
  SamplingParameters parameters(std::int64_t chip, std::int64_t user) const {
    return {.temperature = temperature.elements<float>(chip)[user],
            .top_k = k.elements<std::int32_t>(chip)[user],
            .top_p = p.elements<float>(chip)[user]};
  }
  std::uint64_t seed_of(std::int64_t chip, std::int64_t user) const {
    const auto* halves = seed.elements<std::uint32_t>(chip) + 2 * user;
    return std::uint64_t{halves[1]} << 32 | halves[0];
  }

  DeviceView temperature;
  DeviceView k;
  DeviceView p;
  DeviceView seed;
  DeviceView positions;
};

} // namespace

void sampling(const Tensor& logits, const SamplingTensors& parameters, const Tensor& output) {
  check(logits, parameters, output);
  require_same_device("sampling", {{"input_tensor", logits},
                                   {"temperature", parameters.temperature},
                                   {"k", parameters.k},
                                   {"p", parameters.p},
                                   {"seed", parameters.seed},
                                   {"positions", parameters.positions},
                                   {"output", output}});
  const ParameterViews views(parameters);
  RowWork work;
  work.skip = [views](std::int64_t chip, std::int64_t user) { return views.position(chip, user) < 0; };
  work.body = [views, out = output.view()](std::int64_t chip, std::int64_t user, const LogitsRow& row,
                                           std::span<const float> maxima) {
    try {
      out.elements<std::int32_t>(chip)[user] =
          draw_token(row, maxima, views.parameters(chip, user), views.seed_of(chip, user), views.position(chip, user));
    } catch (const base::Error& error) {
      throw base::DeviceError(fmt::format("user {}: {}", user, error.what()));
    }
  };
  launch(logits.device(), rows_program("sampling", logits, std::move(work)),
         {{"input_tensor", logits},
          {"temperature", parameters.temperature},
          {"k", parameters.k},
          {"p", parameters.p},
          {"seed", parameters.seed},
          {"positions", parameters.positions}},
         {{"output", output}},
         [&] { return OpDetails{.work = {.vector_flops = logits.shape().volume()}, .decomposition = scalar_code()}; });
}

} // namespace tessera::ops
