#include "tessera/ops/pool/pool_units.hpp"

#include <algorithm>
#include <limits>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {

Decomposition pool_units(const PoolUnits& pool) {
  KernelBuilder k(element_wise_config({pool.input, pool.output}));
  const TilesAt x = k.input_tile("input_tensor", pool.input);
  const TilesAt scaler = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt out = k.output("output", pool.output);
  k.loop(pool.columns, [&](const TileNumber& c) {
    k.acquire();
    k.loop(pool.window_tiles, [&](const TileNumber& t) {
      if (pool.maximum)
        k.reduce_max(x[t * pool.columns + c], ReduceDim::COL);
      else
        k.reduce_sum(x[t * pool.columns + c], scaler[0], ReduceDim::COL);
    });
    k.pack(out[c]);
  });
  return k.finish();
}

TileIo::Writer write_scratch_row(std::int64_t columns) {
  return [columns](const ExactWork& work, std::int64_t tile, const float* values) {
    auto* const rows = reinterpret_cast<float*>(work.scratch);
    std::copy_n(values, kTileWidth, rows + (work.row * columns + tile) * kTileWidth);
  };
}

runtime::Program row_by_row(std::string_view name, const Tensor& output, Decomposition kernel,
                            std::vector<TileIo::Reader> readers) {
  const std::int64_t columns = output.spec().tile_columns();
  const std::int64_t width = output.shape()[-1];
  const std::int64_t height = output.shape()[-2];
  const auto place = [](ExactWork& work) {
    work.row = work.index;
    work.rows = 1;
  };
  // The row that clears the padding must be the last of its unit, so whole tiles are stored together.
  const auto store = [out = output.view(), columns, width, height](const runtime::Unit& unit) {
    const auto* const rows = reinterpret_cast<const float*>(unit.scratch);
    const kernels::Kernels& isa = kernels::kernels();
    const std::int64_t end = std::min((unit.index + 1) * kTileHeight, height);
    for (std::int64_t row = unit.index * kTileHeight; row < end; ++row)
      isa.store_row(out.tiles(unit.chip), row, rows + row * columns * kTileWidth, width);
    if (end % kTileHeight != 0) isa.clear_rows(out.tiles(unit.chip), end);
  };
  return {.name = name,
          .stages = {exact_stage(shared(std::move(kernel)), output.device().board().arch, height, place,
                                 {std::move(readers), write_scratch_row(columns)}),
                     {div_up(height, kTileHeight), store}},
          .scratch_bytes = height * columns * kTileWidth * std::int64_t{sizeof(float)}};
}

runtime::Program pool_exactly(std::string_view name, const Tensor& input, const Tensor& output, const PoolUnits& units,
                              const PoolWindows& windows) {
  const float outside = units.maximum ? -std::numeric_limits<float>::infinity() : 0.0F;
  const auto read_pixels = [in = input.view(), windows, columns = units.columns, outside](
                               const ExactWork& work, std::int64_t tile, float* out) {
    const std::int64_t first = tile / columns * kTileHeight;
    for (std::int64_t i = first; i < first + kTileHeight; ++i, out += kTileWidth) {
      const std::int64_t pixel = i < windows.size ? windows.pixel(work.row, i) : -1;
      if (pixel < 0)
        std::fill_n(out, kTileWidth, outside);
      else
        kernels::kernels().load_row(in.tiles(work.chip), pixel, tile % columns * kTileWidth, kTileWidth, out);
    }
  };
  const auto read_scaler = [windows](const ExactWork& work, std::int64_t, float* out) {
    std::fill_n(out, kTileElements, numerics::from_bfloat16(numerics::to_bfloat16(windows.scaler(work.row))));
  };
  return row_by_row(name, output, pool_units(units), {read_pixels, read_scaler});
}

} // namespace tessera::ops
