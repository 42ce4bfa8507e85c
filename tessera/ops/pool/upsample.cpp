#include "tessera/ops/pool/upsample.hpp"

#include <algorithm>
#include <array>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/ops/pool/pool_units.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// The two neighbours along one side whose mixture a place of the larger image shows, and the share of the second.
struct Neighbours {
  std::int64_t first;
  std::int64_t second;
  float share;

  Neighbours(std::int64_t place, std::int64_t scale, std::int64_t size, UpsampleMode mode)
      : first(place / scale), second(first), share(0) {
    if (mode == UpsampleMode::NEAREST) return;
    const float centre = std::max((static_cast<float>(place) + 0.5F) / static_cast<float>(scale) - 0.5F, 0.0F);
    first = static_cast<std::int64_t>(centre);
    second = std::min(first + 1, size - 1);
    share = centre - static_cast<float>(first);
  }
};

/// The four pixels that an output row mixes, and their shares.
struct Mixture {
  std::array<std::int64_t, 4> rows;
  std::array<float, 4> shares;

  Mixture(const UpsampleOptions& options, std::int64_t row) {
    const std::int64_t out_width = options.input_width * options.scale_factor.width;
    const std::int64_t out_height = options.input_height * options.scale_factor.height;
    const Neighbours down(row / out_width % out_height, options.scale_factor.height, options.input_height,
                          options.mode);
    const Neighbours across(row % out_width, options.scale_factor.width, options.input_width, options.mode);
    const std::int64_t image = row / (out_width * out_height) * options.input_height;
    const auto at = [&](std::int64_t y, std::int64_t x) { return (image + y) * options.input_width + x; };
    rows = {at(down.first, across.first), at(down.first, across.second), at(down.second, across.first),
            at(down.second, across.second)};
    shares = {(1.0F - down.share) * (1.0F - across.share), (1.0F - down.share) * across.share,
              down.share * (1.0F - across.share), down.share * across.share};
  }
};

/// Shares times pixels, as a product with four rows that count. Inputs: shares, input_tensor (columns of tiles).
Decomposition mixture_units(std::int64_t columns, DataType input, DataType output) {
  KernelBuilder k(element_wise_config({input, output}));
  const TilesAt shares = k.input("shares", DataType::BFLOAT16);
  const TilesAt pixels = k.input_tile("input_tensor", input);
  const TilesAt out = k.output("output", output);
  k.loop(columns, [&](const TileNumber& c) {
    k.acquire();
    k.matmul(shares[0], pixels[c]);
    k.pack(out[c]);
  });
  return k.finish();
}

runtime::Program mix_exactly(std::string_view name, const Tensor& input, const Tensor& output,
                             const UpsampleOptions& options, Decomposition kernel) {
  const auto read_shares = [options](const ExactWork& work, std::int64_t, float* out) {
    const Mixture mixture(options, work.row);
    std::fill_n(out, kTileWidth, 0.0F);
    for (std::size_t i = 0; i < mixture.shares.size(); ++i)
      out[i] = numerics::from_bfloat16(numerics::to_bfloat16(mixture.shares[i]));
  };
  const auto read_pixels = [in = input.view(), options](const ExactWork& work, std::int64_t tile, float* out) {
    const Mixture mixture(options, work.row);
    std::fill_n(out, kTileElements, 0.0F);
    for (const std::int64_t row : mixture.rows) {
      kernels::kernels().load_row(in.tiles(work.chip), row, tile * kTileWidth, kTileWidth, out);
      out += kTileWidth;
    }
  };
  return row_by_row(name, output, std::move(kernel), {read_shares, read_pixels});
}

} // namespace

Tensor upsample(const Tensor& input_tensor, const UpsampleOptions& options) {
  constexpr std::string_view kName = "upsample";
  require_tile(kName, "input_tensor", input_tensor);
  require_float(kName, options.dtype.value_or(input_tensor.dtype()));
  base::require(
      options.batch_size > 0 && options.input_height > 0 && options.input_width > 0 &&
          options.scale_factor.height > 0 && options.scale_factor.width > 0,
      "[{}] batch_size, input_height, input_width and scale_factor must be 1 or more; received {}, {}, {} and "
      "{}x{}",
      kName, options.batch_size, options.input_height, options.input_width, options.scale_factor.height,
      options.scale_factor.width);
  const std::int64_t width = input_tensor.shape()[-1];
  const std::int64_t rows = options.batch_size * options.input_height * options.input_width;
  require_shape(kName, "input_tensor", input_tensor, {1, 1, rows, width});
  const TensorSpec spec = placed({{1, 1, rows * options.scale_factor.height * options.scale_factor.width, width},
                                  options.dtype.value_or(input_tensor.dtype()),
                                  Layout::TILE,
                                  {}},
                                 input_tensor, options.memory_config);
  Tensor output = Tensor::allocate(input_tensor.device(), spec, kName);
  const auto body = [in = input_tensor.view(), out = output.view(), options, width](std::int64_t chip, std::int64_t,
                                                                                    std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    const Mixture mixture(options, row);
    float* const sum = runtime::thread_scratch(2 * round_up(width, kTileWidth));
    float* const pixel = sum + round_up(width, kTileWidth);
    std::fill_n(sum, width, 0.0F);
    for (std::size_t i = 0; i < mixture.rows.size(); ++i) {
      const float share = mixture.shares[i];
      if (share == 0.0F) continue;
      isa.load_row(in.tiles(chip), mixture.rows[i], 0, width, pixel);
      std::transform(pixel, pixel + width, sum, sum,
                     [share](float value, float so_far) { return so_far + share * value; });
    }
    isa.store_row(out.tiles(chip), row, sum, width);
  };
  const auto units = [&] { return mixture_units(spec.tile_columns(), input_tensor.dtype(), spec.dtype); };
  const auto program = [&]() -> runtime::Program {
    if (!is_exact(output.device())) return {.name = kName, .stages = {for_each_row(output, body)}};
    return mix_exactly(kName, input_tensor, output, options, units());
  };
  launch(input_tensor.device(), program(), {{"input_tensor", input_tensor}}, {{"output", output}}, [&] {
    const bool bilinear = options.mode == UpsampleMode::BILINEAR;
    return OpDetails{{{"batch_size", options.batch_size},
                      {"input_height", options.input_height},
                      {"input_width", options.input_width},
                      {"scale_factor", fmt::format("{}x{}", options.scale_factor.height, options.scale_factor.width)},
                      {"mode", std::string(bilinear ? "bilinear" : "nearest")}},
                     {.vector_flops = bilinear ? 8 * spec.shape.volume() : 0},
                     shared(units())};
  });
  return output;
}

} // namespace tessera::ops
