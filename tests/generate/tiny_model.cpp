#include "tests/generate/tiny_model.hpp"

#include <bit>
#include <charconv>
#include <cmath>

#include "tessera/base/error.hpp"

namespace tessera::testing {
namespace {

using tensor::HostTensor;
using Values = std::vector<float>;

constexpr std::int64_t kHidden = 16;
constexpr std::int64_t kHeads = 2;
constexpr std::int64_t kHeadDim = kHidden / kHeads;
constexpr std::int64_t kMlp = 24;
constexpr std::int64_t kVocabulary = 32;
constexpr std::int64_t kLayers = 3;

float rounded_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u);
}

Values rms_norm(const Values& x, const Values& weight) {
  double sum = 0.0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-5);
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = static_cast<float>(x[i] * scale * weight[i]);
  return y;
}

Values sum_of(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// Half-split rotary embedding of all heads at `position`.
Values rope(const Values& x, std::int64_t position) {
  constexpr std::size_t kHalf = kHeadDim / 2;
  Values y(x.size());
  for (std::size_t head = 0; head < kHeads; ++head) {
    for (std::size_t i = 0; i < kHalf; ++i) {
      const double angle =
          static_cast<double>(position) * std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(kHalf));
      const std::size_t at = head * kHeadDim + i;
      y[at] = static_cast<float>(x[at] * std::cos(angle) - x[at + kHalf] * std::sin(angle));
      y[at + kHalf] = static_cast<float>(x[at + kHalf] * std::cos(angle) + x[at] * std::sin(angle));
    }
  }
  return y;
}

HostTensor table(std::int64_t rows, std::int64_t width) {
  return {{rows, width}, Values(static_cast<std::size_t>(rows * width))};
}

void set_row(HostTensor& to, std::int64_t row, const Values& values) {
  std::copy(values.begin(), values.end(), to.data.begin() + row * to.shape[-1]);
}

} // namespace

Values TinyModel::Matrix::times(const Row& x) const {
  Row y(static_cast<std::size_t>(rows));
  for (std::size_t n = 0; n < y.size(); ++n) {
    double sum = 0.0;
    for (std::size_t k = 0; k < x.size(); ++k) sum += static_cast<double>(values[n * x.size() + k]) * x[k];
    y[n] = static_cast<float>(sum);
  }
  return y;
}

TinyModel::TinyModel(TinyModelOptions options) : round_(options.bfloat16_weights) {
  info_ = {.family = "tiny",
           .layers = kLayers,
           .hidden_size = kHidden,
           .vocab_size = kVocabulary,
           .attention_width = kHidden,
           .context = options.context,
           .max_users = options.max_users};
  embedding_ = random_matrix(kVocabulary, kHidden);
  lm_head_ = random_matrix(kVocabulary, kHidden);
  for (float& value : lm_head_.values) value *= 2.0F; // logits then spread about as a trained model's
  const auto users = static_cast<std::size_t>(options.max_users);
  for (std::int64_t i = 0; i < kLayers; ++i) {
    Layer layer;
    for (Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o}) *matrix = random_matrix(kHidden, kHidden);
    layer.gate = random_matrix(kMlp, kHidden);
    layer.up = random_matrix(kMlp, kHidden);
    layer.down = random_matrix(kHidden, kMlp);
    layer.input_norm = random_norm();
    layer.post_attention_norm = random_norm();
    layer.keys.assign(users, std::vector<Row>(static_cast<std::size_t>(options.context)));
    layer.values = layer.keys;
    layers_.push_back(std::move(layer));
  }
  final_norm_ = random_norm();
}

TinyModel::Matrix TinyModel::random_matrix(std::int64_t rows, std::int64_t columns) {
  Matrix matrix{rows, Row(static_cast<std::size_t>(rows * columns))};
  const double scale = std::sqrt(3.0 / static_cast<double>(columns)); // uniform in +-sqrt(3) has variance 1
  for (float& value : matrix.values) {
    random_state_ = random_state_ * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX generator
    value = static_cast<float>(scale * (static_cast<double>(random_state_ >> 11) * 0x1p-52 - 1.0));
    if (round_) value = rounded_to_bfloat16(value);
  }
  return matrix;
}

Values TinyModel::random_norm() {
  Row weight = random_matrix(1, kHidden).values;
  for (float& value : weight) value = 1.0F + 0.5F * value;
  return weight;
}

Values TinyModel::embedding(std::int32_t id) const {
  const auto first = embedding_.values.begin() + id * kHidden;
  return {first, first + kHidden};
}

Values TinyModel::attention(Layer& layer, const Row& x, Place place) {
  auto& keys = layer.keys[static_cast<std::size_t>(place.user)];
  auto& values = layer.values[static_cast<std::size_t>(place.user)];
  const auto length = static_cast<std::size_t>(place.position) + 1;
  const Row q = rope(layer.q.times(x), place.position);
  keys[length - 1] = rope(layer.k.times(x), place.position);
  values[length - 1] = layer.v.times(x);

  Row mixed(kHidden, 0.0F);
  for (std::size_t head = 0; head < kHeads; ++head) {
    std::vector<double> weights(length);
    double total = 0.0;
    for (std::size_t t = 0; t < length; ++t) {
      double score = 0.0;
      for (std::size_t d = head * kHeadDim; d < (head + 1) * kHeadDim; ++d)
        score += static_cast<double>(q[d]) * keys[t][d];
      weights[t] = std::exp(score / std::sqrt(static_cast<double>(kHeadDim)));
      total += weights[t];
    }
    for (std::size_t t = 0; t < length; ++t) {
      for (std::size_t d = head * kHeadDim; d < (head + 1) * kHeadDim; ++d) {
        mixed[d] += static_cast<float>(weights[t] / total * values[t][d]);
      }
    }
  }
  return layer.o.times(mixed);
}

Values TinyModel::mlp(const Layer& layer, const Row& x) const {
  Row gate = layer.gate.times(x);
  const Row up = layer.up.times(x);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
  return layer.down.times(gate);
}

Values TinyModel::decoder_layer(Layer& layer, const Row& x, Place place) {
  const Row attended = sum_of(attention(layer, rms_norm(x, layer.input_norm), place), x);
  return sum_of(mlp(layer, rms_norm(attended, layer.post_attention_norm)), attended);
}

Values TinyModel::token(std::int32_t id, Place place, std::vector<Row>& states) {
  check(id, place);
  states.assign(1, embedding(id));
  for (Layer& layer : layers_) states.push_back(decoder_layer(layer, states.back(), place));
  return lm_head_.times(rms_norm(states.back(), final_norm_));
}

void TinyModel::check(std::int32_t id, Place place) const {
  base::require(id >= 0 && id < kVocabulary, "[tiny] ids must be in 0..{}; received {}", kVocabulary - 1, id);
  base::require(
      place.user >= 0 && place.user < info_.max_users && place.position >= 0 && place.position < info_.context,
      "[tiny] user and position must be in range; received {} and {}", place.user, place.position);
}

HostTensor TinyModel::prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                              nn::HiddenStates* hidden_states) {
  ++calls_;
  const auto length = static_cast<std::int64_t>(ids.size());
  HostTensor logits = table(rows == nn::LogitsRows::ALL ? length : 1, kVocabulary);
  if (hidden_states != nullptr) hidden_states->assign(kLayers + 1, table(length, kHidden));
  for (std::int64_t position = 0; position < length; ++position) {
    std::vector<Row> states;
    const Row row = token(ids[static_cast<std::size_t>(position)], {user, position}, states);
    set_row(logits, rows == nn::LogitsRows::ALL ? position : 0, row);
    for (std::size_t i = 0; hidden_states != nullptr && i < states.size(); ++i) {
      set_row((*hidden_states)[i], position, states[i]);
    }
  }
  return logits;
}

HostTensor TinyModel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                             nn::HiddenStates* hidden_states) {
  ++calls_;
  const auto users = static_cast<std::int64_t>(ids.size());
  HostTensor logits = table(users, kVocabulary);
  if (hidden_states != nullptr) hidden_states->assign(kLayers + 1, table(users, kHidden));
  for (std::int64_t user = 0; user < users; ++user) {
    const auto at = static_cast<std::size_t>(user);
    if (positions[at] < 0) continue;
    std::vector<Row> states;
    set_row(logits, user, token(ids[at], {user, positions[at]}, states));
    for (std::size_t i = 0; hidden_states != nullptr && i < states.size(); ++i) {
      set_row((*hidden_states)[i], user, states[i]);
    }
  }
  return logits;
}

Values TinyModel::module_row(std::string_view name, const Row& x, Place place) {
  if (name == "embedding") return embedding(static_cast<std::int32_t>(x[0]));
  if (name == "final_norm") return rms_norm(x, final_norm_);
  if (name == "lm_head") return lm_head_.times(x);
  std::size_t number = kLayers;
  std::string_view part;
  if (name.starts_with("layers.")) {
    const auto [end, error] = std::from_chars(name.data() + 7, name.data() + name.size(), number);
    part = name.substr(static_cast<std::size_t>(end - name.data()));
  }
  base::require(number < kLayers, "[tiny] a module must be one of the model's; received {}", name);
  Layer& layer = layers_[number];
  if (part.empty()) return decoder_layer(layer, x, place);
  if (part == ".input_norm") return rms_norm(x, layer.input_norm);
  if (part == ".rope") return rope(x, place.position);
  if (part == ".attention") return attention(layer, x, place);
  if (part == ".post_attention_norm") return rms_norm(x, layer.post_attention_norm);
  base::require(part == ".mlp", "[tiny] a module must be one of the model's; received {}", name);
  return mlp(layer, x);
}

HostTensor TinyModel::run_module(std::string_view name, const HostTensor& x, nn::Phase) {
  ++calls_;
  const bool ids = name == "embedding";
  const std::int64_t batch = x.shape[0];
  const std::int64_t length = x.shape[1];
  HostTensor y;
  for (std::int64_t row = 0; row < batch * length; ++row) {
    const auto at = static_cast<std::size_t>(row);
    const auto in = ids ? std::span(x.data).subspan(at, 1) : x.row(row);
    const Row out = module_row(name, {in.begin(), in.end()}, {row / length, row % length});
    if (row == 0) y = {{batch, length, static_cast<std::int64_t>(out.size())}, {}};
    y.data.insert(y.data.end(), out.begin(), out.end());
  }
  return y;
}

} // namespace tessera::testing
