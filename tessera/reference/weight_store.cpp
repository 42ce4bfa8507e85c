#include "tessera/reference/weight_store.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "tessera/base/error.hpp"

namespace tessera::reference {
namespace {

using checkpoint::StorageType;

// Rows of a streamed LM head that are widened at a time: 8192 x 4096 fp32 values are 128 MiB.
constexpr std::int64_t kHeadRows = 8192;

/// Memory that the kernel could give without swapping. Throws IoError when it does not tell.
std::size_t available_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::size_t kibibytes = 0;
    if (key == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  throw base::IoError("[reference] /proc/meminfo must state MemAvailable; it does not; give a memory budget");
}

at::ScalarType scalar_type(const checkpoint::TensorView& view) {
  switch (view.dtype) {
    case StorageType::F64:
      return at::kDouble;
    case StorageType::F32:
      return at::kFloat;
    case StorageType::F16:
      return at::kHalf;
    case StorageType::BF16:
      return at::kBFloat16;
    default:
      throw base::IoError(fmt::format("[reference] weight {} must be F32, F16, BF16 or F64; received {}; convert it",
                                      view.name, to_string(view.dtype)));
  }
}

std::size_t fp32_bytes(const std::vector<Parameter>& parameters) {
  std::size_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    bytes += sizeof(float) * static_cast<std::size_t>(std::accumulate(parameter.shape.begin(), parameter.shape.end(),
                                                                      std::int64_t{1}, std::multiplies<>()));
  }
  return bytes;
}

} // namespace

WeightStore::WeightStore(checkpoint::Checkpoint checkpoint, const DecoderDescription& model, std::size_t budget_bytes)
    : checkpoint_(std::move(checkpoint)),
      model_(model),
      names_(weight_names(model)),
      layers_(static_cast<std::size_t>(model.layers)) {
  for (const Parameter& parameter : outer_parameters(model_, outer_)) require_weight(parameter);
  for (std::int64_t index = 0; index < model_.layers; ++index) {
    LayerWeights& weights = layers_[static_cast<std::size_t>(index)];
    for (const Parameter& parameter : layer_parameters(model_, index, weights)) require_weight(parameter);
  }
  plan_residency(budget_bytes == 0 ? available_memory_bytes() / 2 : budget_bytes);
}

void WeightStore::require_weight(const Parameter& parameter) const {
  if (parameter.may_be_absent && !checkpoint_.contains(parameter.name)) return;
  const checkpoint::TensorView& view = checkpoint_.tensor(parameter.name);
  scalar_type(view);
  base::require<base::IoError>(view.shape == parameter.shape,
                               "[reference] {} must have shape {} by the config; received {}; check the checkpoint",
                               parameter.name, checkpoint::shape_to_string(parameter.shape),
                               checkpoint::shape_to_string(view.shape));
}

void WeightStore::plan_residency(std::size_t budget_bytes) {
  const std::size_t outer_bytes = fp32_bytes(outer_parameters(model_, outer_));
  outer_resident_ = outer_bytes <= budget_bytes;
  const std::size_t left = outer_resident_ ? budget_bytes - outer_bytes : budget_bytes;
  const std::size_t layer_bytes = fp32_bytes(layer_parameters(model_, 0, layers_.front()));
  // A layer that is passing through needs its share too.
  const std::size_t fitting = left / layer_bytes, all = layers_.size();
  resident_layers_ = static_cast<std::int64_t>(fitting >= all ? all : fitting - std::min<std::size_t>(fitting, 1));
}

at::Tensor WeightStore::widen(const std::string& name) const {
  const checkpoint::TensorView& view = checkpoint_.tensor(name);
  const std::int64_t first_extent = view.shape.empty() ? 1 : view.shape.front();
  return widen_rows(name, 0, first_extent).view(view.shape);
}

/// Rows `first` .. `first + count - 1` along the first dimension, widened exactly.
at::Tensor WeightStore::widen_rows(const std::string& name, std::int64_t first, std::int64_t count) const {
  const checkpoint::TensorView& view = checkpoint_.tensor(name);
  std::vector<std::int64_t> shape = view.shape;
  const std::size_t row_bytes = view.data.size() / static_cast<std::size_t>(shape.front());
  shape.front() = count;
  const std::byte* from = view.data.data() + static_cast<std::size_t>(first) * row_bytes;
  // A mapped tensor may be unaligned for its dtype, which libtorch's conversion does not allow for: copy it first.
  at::Tensor stored = at::empty(shape, scalar_type(view));
  std::memcpy(stored.data_ptr(), from, static_cast<std::size_t>(count) * row_bytes);
  return stored.to(at::kFloat);
}

void WeightStore::fill(const Parameter& parameter) const {
  const bool absent = parameter.may_be_absent && !checkpoint_.contains(parameter.name);
  const at::Tensor values = absent ? at::zeros(parameter.shape, at::kFloat) : widen(parameter.name);
  *parameter.tensor = parameter.transposed ? values.t().contiguous() : values;
}

LayerWeights WeightStore::layer(std::int64_t index) {
  LayerWeights& kept = layers_[static_cast<std::size_t>(index)];
  if (kept.input_norm.weight.defined()) return kept;
  LayerWeights weights;
  for (const Parameter& parameter : layer_parameters(model_, index, weights)) fill(parameter);
  if (index < resident_layers_) kept = weights;
  return weights;
}

at::Tensor WeightStore::embed(const at::Tensor& ids) {
  const std::string name = embedding_name();
  if (outer_resident_) {
    if (!outer_.embedding.defined()) outer_.embedding = widen(name);
    return at::embedding(outer_.embedding, ids);
  }
  const at::Tensor flat = ids.reshape({-1});
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < flat.size(0); ++i) rows.push_back(widen_rows(name, flat[i].item<std::int64_t>(), 1));
  return at::cat(rows, 0).view({ids.size(0), ids.size(1), model_.hidden});
}

at::Tensor WeightStore::positions(std::int64_t first, std::int64_t count) {
  if (!outer_.positions.defined()) outer_.positions = widen(names_.positions + ".weight");
  return outer_.positions.narrow(0, first, count);
}

NormWeights WeightStore::final_norm() {
  if (!outer_.final_norm.weight.defined()) {
    OuterWeights loaded;
    for (const Parameter& parameter : outer_parameters(model_, loaded)) {
      if (parameter.name.starts_with(names_.final_norm)) fill(parameter);
    }
    outer_.final_norm = loaded.final_norm;
  }
  return outer_.final_norm;
}

at::Tensor WeightStore::lm_head(const at::Tensor& x) {
  if (outer_resident_) {
    at::Tensor& head = model_.tied ? outer_.embedding : outer_.lm_head;
    if (!head.defined()) head = widen(lm_head_name());
    return at::linear(x, head);
  }
  std::vector<at::Tensor> blocks;
  for (std::int64_t first = 0; first < model_.vocabulary; first += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, model_.vocabulary - first);
    blocks.push_back(at::linear(x, widen_rows(lm_head_name(), first, count)));
  }
  return at::cat(blocks, -1);
}

} // namespace tessera::reference
