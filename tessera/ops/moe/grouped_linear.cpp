#include "tessera/ops/moe/grouped_linear.hpp"

#include <algorithm>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/ops/matmul/matmul_units.hpp"
#include "tessera/ops/matmul/panel.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

constexpr std::string_view kName = "grouped_linear";
constexpr std::int64_t kPlacesOfUnit = 4;

void check(const Tensor& input, GroupedInput kind, std::span<const Tensor> weights, const Routing& routing) {
  require_tile(kName, "input", input);
  base::require(routing.rows.defined() && routing.counts.defined(), "[{}] a routing is required; received none", kName);
  const std::int64_t experts = routing.counts.shape()[0];
  require_integers(kName, "rows", routing.rows, {routing.rows.shape()[0]});
  require_integers(kName, "begins", routing.begins, {experts});
  require_integers(kName, "counts", routing.counts, {experts});
  base::require(static_cast<std::int64_t>(weights.size()) == experts,
                "[{}] a weight for each of {} experts is required; received {}", kName, experts, weights.size());
  const std::int64_t rows = kind == GroupedInput::GATHER ? routing.row_count() : routing.rows.shape()[0];
  require_shape(kName, "input", input, {1, 1, rows, input.shape()[-1]});
  for (const Tensor& weight : weights) {
    require_tile(kName, "weight", weight);
    require_same_device(kName, {{"input", input}, {"weight", weight}});
    base::require(weight.spec() == weights.front().spec() && weight.spec().num_matrices() == 1 &&
                      weight.shape()[-2] == input.shape()[-1],
                  "[{}] weights must be [1, 1, {}, N], all of one spec; received {} and {}", kName, input.shape()[-1],
                  weights.front().spec(), weight.spec());
  }
}

/// An expert's places, from the lists on the device. Those outside of all places fail on the queue.
struct Places {
  std::int64_t begin;
  std::int64_t count;
};

class PlacesOfExperts {
 public:
  explicit PlacesOfExperts(const Routing& routing)
      : begins_(routing.begins.view()), counts_(routing.counts.view()), places_(routing.rows.shape()[0]) {}

  Places of(std::int64_t chip, std::int64_t expert) const {
    const std::int64_t begin = begins_.elements<std::int32_t>(chip)[expert];
    const std::int64_t count = counts_.elements<std::int32_t>(chip)[expert];
    base::require(0 <= begin && 0 <= count && begin + count <= places_,
                  "an expert's rows must be within the {} places; received {} from {} on", places_, count, begin);
    return {begin, count};
  }

 private:
  DeviceView begins_;
  DeviceView counts_;
  std::int64_t places_;
};

/// Fails on the queue for a row that the input has not.
void require_row(std::int64_t row, std::int64_t rows) {
  base::require(0 <= row && row < rows, "the row of a place must be in 0..{}; received {}", rows - 1, row);
}

/// Fills the panel, a row for each place that has one.
runtime::Stage pack_places(const Tensor& input, GroupedInput kind, const Routing& routing, const Extents& extents,
                           const Panel& panel) {
  const std::int64_t places = routing.rows.shape()[0];
  return {div_up(places, kPlacesOfUnit),
          [a = input.view(), rows = routing.rows.view(), kind, places, input_rows = input.shape()[-2],
           depth = extents.padded_depth, panel](const runtime::Unit& unit) {
            float* const values = runtime::thread_scratch(depth);
            const std::int64_t end = std::min((unit.index + 1) * kPlacesOfUnit, places);
            for (std::int64_t place = unit.index * kPlacesOfUnit; place < end; ++place) {
              const std::int64_t row = rows.elements<std::int32_t>(unit.chip)[place];
              if (row < 0) continue;
              if (kind == GroupedInput::GATHER) require_row(row, input_rows);
              kernels::kernels().load_row(a.tiles(unit.chip), kind == GroupedInput::GATHER ? row : place, 0, depth,
                                          values);
              std::byte* out = unit.scratch + place * panel.row_bytes;
              for (std::int64_t k = 0; k < depth; k += kTileWidth, out += panel.tile_bytes)
                pack_values(panel, values + k, out);
            }
          }};
}

/// Columns of tiles of each expert: those that no row goes to have nothing to do.
runtime::Stage multiply(std::span<const Tensor> weights, const Routing& routing, const Tensor& output,
                        const Extents& extents, const Panel& panel, Activation activation) {
  std::vector<DeviceView> views;
  for (const Tensor& weight : weights) views.push_back(weight.view());
  const std::int64_t columns = output.spec().tile_columns();
  const std::int64_t of_unit = tile_columns_of_unit(weights.front().spec());
  const std::int64_t units = div_up(columns, of_unit); // of an expert
  return {units * static_cast<std::int64_t>(weights.size()),
          [views = std::move(views), places = PlacesOfExperts(routing), out = output.view(), extents, panel, activation,
           columns, of_unit, units](const runtime::Unit& unit) {
            const std::int64_t expert = unit.index / units;
            const std::int64_t first = unit.index % units * of_unit;
            const auto [begin, count] = places.of(unit.chip, expert);
            if (count == 0) return;
            Extents own = extents;
            own.rows = count;
            multiply_columns(unit.scratch + begin * panel.row_bytes, panel, own,
                             views[static_cast<std::size_t>(expert)].tiles(unit.chip),
                             {.tiles = out.tiles(unit.chip), .tile_row = begin / kTileHeight, .activation = activation},
                             first, std::min(first + of_unit, columns));
          }};
}

/// Columns of tiles of each expert, with all the rows that go to it.
runtime::Stage multiply_exactly(const Tensor& input, GroupedInput kind, std::span<const Tensor> weights,
                                const Routing& routing, const Tensor& output, const MatmulUnits& units) {
  std::vector<DeviceView> views;
  for (const Tensor& weight : weights) views.push_back(weight.view());
  const std::int64_t columns = output.spec().tile_columns();
  const auto read_places = [in = input.view(), rows = routing.rows.view(), kind, input_rows = input.shape()[-2]](
                               const ExactWork& work, std::int64_t tile, float* out) {
    for (std::int64_t i = 0; i < work.rows; ++i) {
      const std::int64_t place = work.row + i;
      const std::int64_t row = kind == GroupedInput::GATHER ? rows.elements<std::int32_t>(work.chip)[place] : place;
      require_row(row, input_rows);
      kernels::kernels().load_row(in.tiles(work.chip), row, tile * kTileWidth, kTileWidth, out + i * kTileWidth);
    }
  };
  const auto read_weight = [views, columns](const ExactWork& work, std::int64_t tile, float* out) {
    const DeviceView& view = views[static_cast<std::size_t>(work.index / columns)];
    kernels::kernels().load_tile(view.tiles(work.chip), tile, work.column, out);
  };
  return exact_stage(shared(matmul_units(units)), output.device().board().arch,
                     columns * static_cast<std::int64_t>(weights.size()),
                     [places = PlacesOfExperts(routing), columns](ExactWork& work) {
                       const auto [begin, count] = places.of(work.chip, work.index / columns);
                       work.column = work.index % columns;
                       work.row = begin;
                       work.rows = count;
                     },
                     {{read_places, read_weight}, write_column(output.view())});
}

} // namespace

Tensor grouped_linear(const Tensor& input, GroupedInput kind, std::span<const Tensor> weights, const Routing& routing,
                      const LinearOptions& options) {
  check(input, kind, weights, routing);
  require_float(kName, options.dtype);
  base::require(!options.bias.defined(), "[{}] no bias is taken; received {}", kName, options.bias.spec());
  const TensorSpec& weight = weights.front().spec();
  runtime::MeshDevice& device = input.device();
  const std::int64_t places = routing.rows.shape()[0];
  const std::int64_t columns = weight.shape[-1];
  // The arithmetic follows the number of rows routed, as in linear, not how many share an expert.
  const Extents extents{.rows = routing.row_count(),
                        .depth = weight.shape[-2],
                        .padded_depth = weight.tile_rows() * kTileHeight,
                        .columns = columns};
  const ComputeConfig compute = options.compute_kernel_config.value_or(default_compute_config(weight.dtype));
  const Tensor output = Tensor::allocate(
      device, placed({{1, 1, places, columns}, options.dtype, Layout::TILE, {}}, input, options.memory_config), kName);
  const Panel panel(input.dtype(), weight.dtype, compute.math_fidelity, extents);
  std::vector<Operand> inputs{
      {"input", input}, {"rows", routing.rows}, {"begins", routing.begins}, {"counts", routing.counts}};
  for (const Tensor& of_expert : weights) inputs.push_back({"weight", of_expert});
  const std::vector<Operand> outputs{{"output", output}};
  const auto units = [&] {
    return MatmulUnits{.depth = weight.tile_rows(),
                       .block = matmul_block(extents.rows, weight.tile_rows(), weight.tile_columns()),
                       .input = input.dtype(),
                       .weight = weight.dtype,
                       .output = options.dtype,
                       .activation = options.activation,
                       .compute = compute};
  };
  runtime::Program program{.name = kName, .key = options_key(compute, {static_cast<std::int64_t>(options.activation)})};
  if (is_exact(device)) {
    program.stages = {multiply_exactly(input, kind, weights, routing, output, units())};
  } else {
    program.stages = {pack_places(input, kind, routing, extents, panel),
                      multiply(weights, routing, output, extents, panel, options.activation)};
    program.scratch_bytes = places * panel.row_bytes;
  }
  launch(device, std::move(program), inputs, outputs, [&] {
    // As many experts are read as can be chosen at most.
    const std::int64_t routed = routing.weights.shape()[0];
    const std::int64_t read = std::min(static_cast<std::int64_t>(weights.size()), routed);
    const bool in_dram = output.memory_config().buffer_type == BufferType::DRAM;
    const std::int64_t in = input.spec().size_bytes();
    const std::int64_t out = output.spec().size_bytes();
    return OpDetails{{{"math_fidelity", std::string(to_string(compute.math_fidelity))},
                      {"fp32_dest_acc_en", compute.fp32_dest_acc_en},
                      {"packer_l1_acc", compute.packer_l1_acc},
                      {"activation", std::string(to_string(options.activation))},
                      {"input_kind", std::string(kind == GroupedInput::GATHER ? "GATHER" : "PLACES")},
                      {"routed_rows", extents.rows},
                      {"k", routing.choices},
                      {"experts_read", read}},
                     {.matmul_flops = 2 * routed * extents.depth * columns,
                      .fidelity = compute.math_fidelity,
                      .dram_read_bytes = read * weight.size_bytes() + (in_dram ? in : 0),
                      .dram_write_bytes = in_dram ? out : 0,
                      .l1_bytes = in_dram ? 0 : in + out},
                     shared(matmul_units(units()))};
  });
  return output;
}

} // namespace tessera::ops
