#include "tessera/ops/normalization/distributed_norm.hpp"

#include <array>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/normalization/norm_rows.hpp"
#include "tessera/ops/normalization/norm_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Where a row's sums of one part stand: a tile each, in the two columns that hold it.
constexpr std::int64_t kSquares = 0;
constexpr std::int64_t kSums = kTileWidth;

void put_sum(double sum, float* tile) {
  tile[0] = static_cast<float>(sum);
  tile[1] = static_cast<float>(sum - double{tile[0]});
}

/// The sum over the parts, in the order of their places. `stats` [parts * part_width].
double total(const float* stats, std::int64_t parts, std::int64_t part_width, std::int64_t first) {
  double sum = 0;
  for (std::int64_t part = 0; part < parts; ++part) {
    const float* const tile = stats + part * part_width + first;
    sum += double{tile[0]} + double{tile[1]};
  }
  return sum;
}

/// Of the sums that the units leave in the first column; the rest of a tile is zero, as there is nothing to correct.
TileIo::Writer write_first_column(DeviceView view) {
  return [write = write_rows(view)](const ExactWork& work, std::int64_t tile, const float* values) {
    std::vector<float> sums(static_cast<std::size_t>(work.rows * kTileWidth));
    for (std::int64_t row = 0; row < work.rows; ++row)
      sums[static_cast<std::size_t>(row * kTileWidth)] = values[row * kTileWidth];
    write(work, tile, sums.data());
  };
}

/// sums(x, width, out): writes the row's `count` tiles of sums, which hold zeros.
template <typename Sums>
Tensor pre_all_gather(std::string_view op, const Tensor& input, std::int64_t count,
                      const std::optional<MemoryConfig>& memory_config, std::int64_t flops_of_element, Sums sums) {
  require_tile(op, "input_tensor", input);
  const std::int64_t part_width = count * kTileWidth;
  const Tensor stats = norm_output(op, input, input.shape().with(-1, part_width), DataType::FLOAT32, memory_config);
  const auto body = [in = input.view(), out = stats.view(), width = input.shape()[-1], part_width, sums](
                        std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const x = runtime::thread_scratch(width);
    isa.load_row(in.tiles(chip, matrix), row, 0, width, x);
    std::array<float, 2 * kTileWidth> values{};
    sums(isa, x, width, values.data());
    isa.store_row(out.tiles(chip, matrix), row, values.data(), part_width);
  };
  const auto units = [&] {
    return pre_all_gather_units(input.spec().tile_columns(), count > 1, formats_of(input, {}, stats));
  };
  const auto stage = [&] {
    if (!is_exact(input.device())) return for_each_row(stats, body);
    return exact_rows(stats, units(),
                      {{read_rows(input.view()), read_constant(1.0F)}, write_first_column(stats.view())});
  };
  launch(input.device(), {.name = op, .stages = {stage()}}, {{"input_tensor", input}}, {{"output", stats}}, [&] {
    return OpDetails{{}, {.vector_flops = flops_of_element * input.shape().volume()}, shared(units())};
  });
  return stats;
}

/// The parts that `stats` holds sums of. Throws unless it fits the input and the parts can hold `width`.
std::int64_t parts_of(std::string_view op, const Tensor& input, const Tensor& stats, std::int64_t part_width,
                      std::int64_t width) {
  require_tile(op, "input_tensor", input);
  require_tile(op, "stats", stats);
  require_same_device(op, {{"input_tensor", input}, {"stats", stats}});
  base::require(stats.shape()[-1] % part_width == 0 && stats.shape() == input.shape().with(-1, stats.shape()[-1]),
                "[{}] stats must have the input's rows, {}, and {} columns for each chip; received {}", op,
                input.shape(), part_width, stats.spec());
  const std::int64_t parts = stats.shape()[-1] / part_width;
  base::require(width >= 0 && width <= parts * input.shape()[-1],
                "[{}] width must be that of the whole row, at most {} parts of {} elements, or 0; received {}", op,
                parts, input.shape()[-1], width);
  return parts;
}

/// The norm of a part, given the sums of all. normalise(isa, sum, whole, epsilon, parameters, width, x): works on a row
/// in place; sum(first) is the total of the sums that stand at column `first` of each part's tiles.
template <typename Options, typename Normalise>
Tensor post_all_gather(std::string_view op, const Tensor& input, const Tensor& stats, const NormParameters& parameters,
                       const Options& options, std::int64_t part_width, std::int64_t flops_of_element,
                       Normalise normalise) {
  const std::int64_t parts = parts_of(op, input, stats, part_width, options.width);
  require_tile(op, "weight", parameters.weight); // ones would leave something in the padding
  require_parameters(op, parameters, input);
  const Tensor output = norm_output(op, input, input.shape(), options.dtype, options.memory_config);
  const std::int64_t width = input.shape()[-1];
  const std::int64_t whole = options.width == 0 ? parts * width : options.width;
  const auto body = [in = input.view(), sums = stats.view(), rows = ParameterRows(parameters), out = output.view(),
                     parts, part_width, width, whole, epsilon = options.epsilon,
                     normalise](std::int64_t chip, std::int64_t matrix, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const x = runtime::thread_scratch(3 * width + parts * part_width);
    float* const row_stats = x + 3 * width;
    isa.load_row(in.tiles(chip, matrix), row, 0, width, x);
    isa.load_row(sums.tiles(chip, matrix), row, 0, parts * part_width, row_stats);
    const LoadedParameters loaded = rows.load(chip, width, x + width);
    const auto sum = [&](std::int64_t first) { return total(row_stats, parts, part_width, first); };
    normalise(isa, sum, whole, epsilon, loaded, width, x);
    isa.store_row(out.tiles(chip, matrix), row, x, width);
  };
  const bool layer_norm = part_width > kTileWidth;
  const auto units = [&] {
    return post_all_gather_units(input.spec().tile_columns(), parts, layer_norm, options.epsilon,
                                 formats_of(input, parameters, output));
  };
  const auto stage = [&] {
    if (!is_exact(output.device())) return for_each_row(output, body);
    TileIo io{{read_rows(input.view()), read_rows(stats.view()), read_constant(1.0F / static_cast<float>(whole)),
               read_parameters(parameters.weight.view())},
              write_rows(output.view())};
    if (layer_norm) io.read.push_back(read_parameters(parameters.bias, 0.0F));
    return exact_rows(output, units(), std::move(io));
  };
  launch(output.device(), {.name = op, .stages = {stage()}},
         {{"input_tensor", input}, {"stats", stats}, {"weight", parameters.weight}, {"bias", parameters.bias}},
         {{"output", output}}, [&] {
           return OpDetails{{{"epsilon", double{options.epsilon}}, {"width", whole}},
                            {.vector_flops = flops_of_element * input.shape().volume()},
                            shared(units())};
         });
  return output;
}

} // namespace

Tensor rms_norm_pre_all_gather(const Tensor& input_tensor, const std::optional<MemoryConfig>& memory_config) {
  return pre_all_gather("rms_norm_pre_all_gather", input_tensor, 1, memory_config, 2,
                        [](const kernels::Kernels& isa, const float* x, std::int64_t width, float* out) {
                          put_sum(isa.sum_of_squares(x, width), out + kSquares);
                        });
}

Tensor layer_norm_pre_all_gather(const Tensor& input_tensor, const std::optional<MemoryConfig>& memory_config) {
  return pre_all_gather("layer_norm_pre_all_gather", input_tensor, 2, memory_config, 3,
                        [](const kernels::Kernels& isa, const float* x, std::int64_t width, float* out) {
                          const kernels::Moments moments = isa.moments(x, width);
                          put_sum(moments.sum_of_squares, out + kSquares);
                          put_sum(moments.sum, out + kSums);
                        });
}

Tensor rms_norm_post_all_gather(const Tensor& input_tensor, const Tensor& stats, const Tensor& weight,
                                const RmsNormPostAllGatherOptions& options) {
  return post_all_gather("rms_norm_post_all_gather", input_tensor, stats, {weight, {}}, options, kTileWidth, 2,
                         [](const kernels::Kernels& isa, const auto& sum, std::int64_t whole, float epsilon,
                            const LoadedParameters& parameters, std::int64_t width, float* x) {
                           isa.scale_row(x, parameters.gamma, rms_scale(sum(kSquares), whole, epsilon), width, x);
                         });
}

Tensor layer_norm_post_all_gather(const Tensor& input_tensor, const Tensor& stats, const Tensor& weight,
                                  const LayerNormPostAllGatherOptions& options) {
  return post_all_gather("layer_norm_post_all_gather", input_tensor, stats, {weight, options.bias}, options,
                         2 * kTileWidth, 4,
                         [](const kernels::Kernels& isa, const auto& sum, std::int64_t whole, float epsilon,
                            const LoadedParameters& parameters, std::int64_t width, float* x) {
                           const auto [mean, scale] = mean_and_scale({sum(kSums), sum(kSquares)}, whole, epsilon);
                           isa.normalize(x, mean, scale, parameters.gamma, parameters.beta, width, x);
                         });
}

} // namespace tessera::ops
