#include "tessera/ops/exact/rows.hpp"

#include <algorithm>
#include <vector>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/packer.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t kRowsOfColumn = 4 * kTileHeight;

} // namespace

std::shared_ptr<const Decomposition> movement() {
  static const auto kernel =
      std::make_shared<const Decomposition>(Decomposition{.kind = Decomposition::Kind::MOVEMENT});
  return kernel;
}

std::shared_ptr<const Decomposition> scalar_code() {
  static const auto kernel = std::make_shared<const Decomposition>(Decomposition{.kind = Decomposition::Kind::SCALAR});
  return kernel;
}

TileIo::Reader read_rows(DeviceView view) {
  return [view](const ExactWork& work, std::int64_t tile, float* out) {
    const kernels::ConstTiles tiles = view.tiles(work.chip, work.matrix);
    for (std::int64_t row = 0; row < work.rows; row += kTileHeight)
      load_tile_rows(tiles, (work.row + row) / kTileHeight, tile, std::min(kTileHeight, work.rows - row),
                     out + row * kTileWidth);
  };
}

TileIo::Reader read_column(DeviceView view) {
  return [view](const ExactWork& work, std::int64_t tile, float* out) {
    kernels::kernels().load_tile(view.tiles(work.chip, work.matrix), tile, work.column, out);
  };
}

TileIo::Reader read_parameters(DeviceView view) {
  return [view](const ExactWork& work, std::int64_t tile, float* out) {
    kernels::kernels().load_tile(view.tiles(work.chip), 0, tile, out);
  };
}

TileIo::Reader read_parameters(const Tensor& parameters, float otherwise) {
  return parameters.defined() ? read_parameters(parameters.view()) : read_constant(otherwise);
}

TileIo::Reader read_mask(std::int64_t width) {
  return [width](const ExactWork&, std::int64_t tile, float* out) {
    for (std::int64_t i = 0; i < kTileElements; ++i) out[i] = tile * kTileWidth + i % kTileWidth < width ? 1.0F : 0.0F;
  };
}

TileIo::Reader read_constant(float value) {
  return
      [value = numerics::from_bfloat16(numerics::to_bfloat16(value))](const ExactWork& work, std::int64_t, float* out) {
        std::fill_n(out, std::max(work.rows, kTileHeight) * kTileWidth, value);
      };
}

TileIo::Writer write_rows(DeviceView view) {
  return [view](const ExactWork& work, std::int64_t tile, const float* values) {
    for (std::int64_t row = 0; row < work.rows; row += kTileHeight)
      kernels::kernels().store_tile(view.tiles(work.chip, work.matrix), (work.row + row) / kTileHeight, tile,
                                    std::min(kTileHeight, work.rows - row), values + row * kTileWidth, kTileWidth);
  };
}

TileIo::Writer write_column(DeviceView view) {
  return [write = write_rows(view)](const ExactWork& work, std::int64_t, const float* values) {
    write(work, work.column, values);
  };
}

runtime::Stage exact_rows(const Tensor& output, Decomposition kernel, TileIo io) {
  const std::int64_t height = output.shape()[-2];
  const std::int64_t bands = div_up(height, kTileHeight);
  return exact_stage(
      shared(std::move(kernel)), output.device().board().arch, output.spec().num_matrices() * bands,
      [height, bands](ExactWork& work) {
        work.matrix = work.index / bands;
        work.row = work.index % bands * kTileHeight;
        work.rows = std::min(kTileHeight, height - work.row);
      },
      std::move(io));
}

runtime::Stage exact_columns(const Tensor& output, Decomposition kernel, TileIo io) {
  const std::int64_t rows = output.shape()[-2];
  const std::int64_t columns = output.spec().tile_columns();
  return exact_stage(
      shared(std::move(kernel)), output.device().board().arch, div_up(rows, kRowsOfColumn) * columns,
      [rows, columns](ExactWork& work) {
        work.column = work.index % columns;
        work.row = work.index / columns * kRowsOfColumn;
        work.rows = std::min(kRowsOfColumn, rows - work.row);
      },
      std::move(io));
}

ComputeConfig element_wise_config(std::initializer_list<DataType> formats) {
  const bool wide = std::ranges::find(formats, DataType::FLOAT32) != formats.end();
  return {.math_fidelity = MathFidelity::HiFi4, .fp32_dest_acc_en = wide};
}

Decomposition copy_units(DataType from, DataType to, std::int64_t columns) {
  KernelBuilder k(element_wise_config({from}));
  const TilesAt in = k.input("input_tensor", from);
  const TilesAt out = k.output("output", to);
  k.loop(columns, [&](const TileNumber& j) {
    k.acquire();
    k.copy_to_dest(in[j]);
    k.pack(out[j]);
  });
  return k.finish();
}

std::shared_ptr<const Decomposition> movement(DataType from, DataType to, std::int64_t columns) {
  return from == to ? movement() : shared(copy_units(from, to, columns));
}

void round_as_packed(DataType from, DataType to, std::int64_t count, float* values) {
  if (from == to) return;
  const std::int64_t padded = round_up(count, kFaceWidth);
  std::fill(values + count, values + padded, 0.0F);
  auto* const words = reinterpret_cast<std::uint32_t*>(values);
  const std::span<std::uint32_t> row(words, static_cast<std::size_t>(padded));
  numerics::pack_values(from == DataType::FLOAT32 ? numerics::DstFormat::FLOAT32 : numerics::DstFormat::BFLOAT16, to,
                        numerics::PackMode::Default, row, row);
}

} // namespace tessera::ops
