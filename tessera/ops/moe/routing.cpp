#include "tessera/ops/moe/routing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tessera/base/error.hpp"
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

void route(const kernels::ConstTiles& logits, std::int64_t rows, std::int64_t experts, std::int64_t k,
           std::int64_t place_count, const Lists& lists) {
  float* const values = runtime::thread_scratch(experts);
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::fill_n(lists.counts, experts, 0);
  std::fill_n(lists.rows, place_count, -1);
  // First the experts' numbers stand where the places will.
  for (std::int64_t row = 0; row < rows; ++row) {
    kernels::kernels().load_row(logits, row, 0, experts, values);
    choose(values, order, k, lists.weights + row * k);
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
  const auto unit = [logits = logits.view(), weights = routing.weights.view(), at = routing.places.view(),
                     of = routing.rows.view(), begins = routing.begins.view(), counts = routing.counts.view(), rows,
                     experts, k, places](const runtime::Unit& work) {
    route(
        logits.tiles(work.chip), rows, experts, k, places,
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
           return OpDetails{{{"k", k}}, {.vector_flops = 6 * logits.shape().volume()}};
         });
  return routing;
}

Tensor moe_combine(const Tensor& y, const Routing& routing, const std::optional<MemoryConfig>& memory_config) {
  constexpr std::string_view kName = "moe_combine";
  require_tile(kName, "y", y);
  const std::int64_t width = y.shape()[-1];
  require_shape(kName, "y", y, {1, 1, routing.rows.shape()[0], width});
  const std::int64_t k = routing.choices;
  const Tensor output = Tensor::allocate(
      y.device(),
      {{1, 1, routing.row_count(), width}, y.dtype(), Layout::TILE, memory_config.value_or(y.memory_config())}, kName);
  const auto body = [in = y.view(), weights = routing.weights.view(), places = routing.places.view(),
                     out = output.view(), k, width](std::int64_t chip, std::int64_t, std::int64_t row) {
    const kernels::Kernels& isa = kernels::kernels();
    float* const sum = runtime::thread_scratch(3 * width);
    float* const x = sum + width;
    float* const factor = x + width;
    std::fill_n(sum, width, 0.0F);
    for (std::int64_t j = row * k; j < (row + 1) * k; ++j) {
      isa.load_row(in.tiles(chip), places.elements<std::int32_t>(chip)[j], 0, width, x);
      std::fill_n(factor, width, weights.elements<float>(chip)[j]);
      isa.mul(x, factor, width, x);
      isa.add(sum, x, width, sum);
    }
    isa.store_row(out.tiles(chip), row, sum, width);
  };
  launch(y.device(), {.name = kName, .stages = {for_each_row(output, body)}},
         {{"y", y}, {"weights", routing.weights}, {"places", routing.places}}, {{"output", output}}, [&] {
           return OpDetails{{{"k", k}}, {.vector_flops = 2 * k * output.shape().volume()}};
         });
  return output;
}

} // namespace tessera::ops
