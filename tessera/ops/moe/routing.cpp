#include "tessera/ops/moe/routing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// What routing one chip's rows writes.
struct Lists {
  float* weights;
  std::int32_t* places;
  std::int32_t* rows;
  std::int32_t* begins;
  std::int32_t* counts;
};

/// The best of a row: numbers in `order`, weights in `weights`.
void choose(const float* logits, std::vector<std::int32_t>& order, std::int64_t k, float* weights) {
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  float sum = 0;
  for (std::int64_t j = 0; j < k; ++j)
    sum += weights[j] = std::exp(logits[order[static_cast<std::size_t>(j)]] - logits[order[0]]);
  for (std::int64_t j = 0; j < k; ++j) weights[j] /= sum;
}

/// The weights of a row: softmax of the logits chosen, each step packed. Input: logits, a tile of which the others are
/// -Inf.
Decomposition softmax_units(DataType input) {
  KernelBuilder k({.math_fidelity = MathFidelity::HiFi4, .fp32_dest_acc_en = input == DataType::FLOAT32});
  const DataType wide = k.intermediate_format();
  const TilesAt x = k.input("logits", input);
  const TilesAt one = k.input_tile("scaler", DataType::BFLOAT16);
  const TilesAt out = k.output("weights", wide);
  const TilesAt maximum = k.intermediate("maximum", wide, 1);
  const TilesAt exponential = k.intermediate("exponential", wide, 1);
  const TilesAt inverse = k.intermediate("inverse", wide, 1);
  k.acquire();
  k.reduce_max(x[0]);
  k.pack(maximum[0]);
  k.acquire();
  k.sub(x[0], maximum[0], Broadcast::COLUMN);
  k.function(TileFunction::EXP);
  k.pack(exponential[0]);
  k.acquire();
  k.reduce_sum(exponential[0], one[0]);
  k.function(TileFunction::RECIPROCAL);
  k.pack(inverse[0]);
  k.acquire();
  k.mul(exponential[0], inverse[0], Broadcast::COLUMN);
  k.pack(out[0]);
  return k.finish();
}

/// The same weights for rows that choose() has ordered: k logits in `chosen`, replaced by their weights.
void weigh_exactly(const Decomposition& kernel, const ArchSpec& arch, std::int64_t k, float* chosen) {
  const auto read = [k, chosen](const ExactWork&, std::int64_t, float* out) {
    std::fill_n(std::copy_n(chosen, k, out), kTileWidth - k, -std::numeric_limits<float>::infinity());
  };
  const auto write = [k, chosen](const ExactWork&, std::int64_t, const float* values) {
    std::copy_n(values, k, chosen);
  };
  run_exact(kernel, arch, {.rows = 1}, {{read, read_constant(1.0F)}, write});
}

/// What exact routing needs; none: native.
struct ExactSoftmax {
  std::shared_ptr<const Decomposition> kernel;
  ArchSpec arch;
};

void route(const kernels::ConstTiles& logits, std::int64_t rows, std::int64_t experts, std::int64_t k,
           std::int64_t place_count, const ExactSoftmax& exact, const Lists& lists) {
  float* const values = runtime::thread_scratch(experts);
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::fill_n(lists.counts, experts, 0);
  std::fill_n(lists.rows, place_count, -1);
  // First the experts' numbers stand where the places will.
  for (std::int64_t row = 0; row < rows; ++row) {
    kernels::kernels().load_row(logits, row, 0, experts, values);
    choose(values, order, k, lists.weights + row * k);
    if (exact.kernel) {
      for (std::int64_t j = 0; j < k; ++j) lists.weights[row * k + j] = values[order[static_cast<std::size_t>(j)]];
      weigh_exactly(*exact.kernel, exact.arch, k, lists.weights + row * k);
    }
    for (std::int64_t j = 0; j < k; ++j) {
      const std::int32_t expert = order[static_cast<std::size_t>(j)];
      lists.places[row * k + j] = expert;
      ++lists.counts[expert];
    }
  }
  std::int64_t begin = 0;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    lists.begins[expert] = static_cast<std::int32_t>(begin);
    begin += round_up(lists.counts[expert], kTileHeight);
  }
  std::vector<std::int32_t> next(lists.begins, lists.begins + experts);
  for (std::int64_t i = 0; i < rows * k; ++i) {
    const std::int32_t place = next[static_cast<std::size_t>(lists.places[i])]++;
    lists.places[i] = place;
    lists.rows[place] = static_cast<std::int32_t>(i / k);
  }
}

/// The sum over the choices of a row's result times its weight. Inputs: y (tile j * columns + c of choice j), weights
/// (of choice j).
Decomposition combine_units(std::int64_t choices, std::int64_t columns, DataType dtype) {
  KernelBuilder k(element_wise_config({dtype}));
  const TilesAt y = k.input("y", dtype);
  const TilesAt weight = k.input("weights", DataType::FLOAT32);
  const TilesAt out = k.output("output", dtype);
  const TilesAt sum = k.intermediate("sum", k.intermediate_format(), 1);
  const TilesAt term = k.intermediate("term", k.intermediate_format(), 1);
  k.loop(columns, [&](const TileNumber& c) {
    k.acquire();
    k.mul(y[c], weight[0], Broadcast::COLUMN);
    k.pack(sum[0]);
    k.loop(choices - 1, [&](const TileNumber& j) {
      k.acquire();
      k.mul(y[(j + 1) * columns + c], weight[j + 1], Broadcast::COLUMN);
      k.pack(term[0]);
      k.acquire();
      k.add(sum[0], term[0]);
      k.pack(sum[0]);
    });
    k.acquire();
    k.copy_to_dest(sum[0]);
    k.pack(out[c]);
  });
  return k.finish();
}

} // namespace

Routing moe_routing(const Tensor& logits, std::int64_t k) {
  constexpr std::string_view kName = "moe_routing";
  require_tile(kName, "logits", logits);
  base::require(logits.spec().num_matrices() == 1, "[{}] one matrix of logits [1, 1, R, X] is required; received {}",
                kName, logits.shape());
  const std::int64_t rows = logits.shape()[-2];
  const std::int64_t experts = logits.shape()[-1];
  base::require(1 <= k && k <= experts, "[{}] 1 to {} experts can be chosen; received {}", kName, experts, k);
  runtime::MeshDevice& device = logits.device();
  base::require(!is_exact(device) || k <= kTileWidth,
                "[{}] at most {} experts can be chosen in exact numerics, the columns of a tile; received {}", kName,
                kTileWidth, k);
  const auto list = [&](std::int64_t count, DataType dtype, std::string_view name) {
    return Tensor::allocate(device, {{count}, dtype, Layout::ROW_MAJOR, kDramInterleaved}, name);
  };
  // Each expert that is chosen fills its last tile in part.
  const std::int64_t places = kTileHeight * (std::min(experts, rows * k) + rows * k / kTileHeight);
  Routing routing{.weights = list(rows * k, DataType::FLOAT32, "moe.weights"),
                  .places = list(rows * k, DataType::INT32, "moe.places"),
                  .rows = list(places, DataType::INT32, "moe.rows"),
                  .begins = list(experts, DataType::INT32, "moe.begins"),
                  .counts = list(experts, DataType::INT32, "moe.counts"),
                  .choices = k};
  ExactSoftmax exact;
  if (is_exact(device)) exact = {shared(softmax_units(logits.dtype())), device.board().arch};
  const auto unit = [exact, logits = logits.view(), weights = routing.weights.view(), at = routing.places.view(),
                     of = routing.rows.view(), begins = routing.begins.view(), counts = routing.counts.view(), rows,
                     experts, k, places](const runtime::Unit& work) {
    route(
        logits.tiles(work.chip), rows, experts, k, places, exact,
        {weights.elements<float>(work.chip), at.elements<std::int32_t>(work.chip), of.elements<std::int32_t>(work.chip),
         begins.elements<std::int32_t>(work.chip), counts.elements<std::int32_t>(work.chip)});
  };
  launch(device, {.name = kName, .stages = {{1, unit}}}, {{"logits", logits}},
         {{"weights", routing.weights},
          {"places", routing.places},
          {"rows", routing.rows},
          {"begins", routing.begins},
          {"counts", routing.counts}},
         [&] {
           return OpDetails{
               {{"k", k}}, {.vector_flops = 6 * logits.shape().volume()}, shared(softmax_units(logits.dtype()))};
         });
  return routing;
}

Tensor moe_combine(const Tensor& y, const Routing& routing, const std::optional<MemoryConfig>& memory_config) {
  constexpr std::string_view kName = "moe_combine";
  require_tile(kName, "y", y);
  const std::int64_t width = y.shape()[-1];
  require_shape(kName, "y", y, {1, 1, routing.rows.shape()[0], width});
  require_integers(kName, "places", routing.places, routing.weights.shape());
  const std::int64_t k = routing.choices;
  // Places beyond those of y fail on the queue.
  const auto place_of = [places = routing.places.view(), count = y.shape()[-2]](std::int64_t chip,
                                                                                std::int64_t choice) {
    const std::int64_t place = places.elements<std::int32_t>(chip)[choice];
    base::require(0 <= place && place < count, "places must be in 0..{}; received {}", count - 1, place);
    return place;
  };
  const Tensor output = Tensor::allocate(
      y.device(), placed({{1, 1, routing.row_count(), width}, y.dtype(), Layout::TILE, {}}, y, memory_config), kName);
  const auto body = [in = y.view(), weights = routing.weights.view(), place_of, out = output.view(), k, width](
                        std::int64_t chip, std::int64_t, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const sum = runtime::thread_scratch(3 * width);
    float* const x = sum + width;
    float* const factor = x + width;
    std::fill_n(sum, width, 0.0F);
    for (std::int64_t j = row * k; j < (row + 1) * k; ++j) {
      isa.load_row(in.tiles(chip), place_of(chip, j), 0, width, x);
      std::fill_n(factor, width, weights.elements<float>(chip)[j]);
      isa.mul(x, factor, width, x);
      isa.add(sum, x, width, sum);
    }
    isa.store_row(out.tiles(chip), row, sum, width);
  };
  const std::int64_t columns = output.spec().tile_columns();
  const auto units = [&] { return combine_units(k, columns, y.dtype()); };
  const auto stage = [&] {
    if (!is_exact(y.device())) return for_each_row(output, body);
    const auto read_expert = [in = y.view(), place_of, k, columns](const ExactWork& work, std::int64_t tile,
                                                                   float* out) {
      for (std::int64_t i = 0; i < work.rows; ++i) {
        const std::int64_t place = place_of(work.chip, (work.row + i) * k + tile / columns);
        kernels::kernels().load_row(in.tiles(work.chip), place, tile % columns * kTileWidth, kTileWidth,
                                    out + i * kTileWidth);
      }
    };
    const auto read_weight = [weights = routing.weights.view(), k](const ExactWork& work, std::int64_t tile,
                                                                   float* out) {
      for (std::int64_t i = 0; i < work.rows; ++i)
        std::fill_n(out + i * kTileWidth, kTileWidth, weights.elements<float>(work.chip)[(work.row + i) * k + tile]);
    };
    return exact_rows(output, units(), {{read_expert, read_weight}, write_rows(output.view())});
  };
  launch(y.device(), {.name = kName, .stages = {stage()}},
         {{"y", y}, {"weights", routing.weights}, {"places", routing.places}}, {{"output", output}}, [&] {
           return OpDetails{{{"k", k}}, {.vector_flops = 2 * k * output.shape().volume()}, shared(units())};
         });
  return output;
}

} // namespace tessera::ops
