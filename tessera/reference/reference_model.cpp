#include "tessera/reference/reference_model.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::reference {
namespace {

nn::HostTensor to_host(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const float* begin = dense.data_ptr<float>();
  return {Shape(std::span(dense.sizes().data(), dense.sizes().size())), {begin, begin + dense.numel()}};
}

at::Tensor to_torch(const nn::HostTensor& host) {
  const at::Tensor tensor = at::empty(at::IntArrayRef(host.shape.extents().data(), host.shape.rank()), at::kFloat);
  std::copy(host.data.begin(), host.data.end(), tensor.data_ptr<float>());
  return tensor;
}

/// Writes the single row of each of `from` into row `user` of `to`, whose rows are users.
void place_row(const nn::HiddenStates& from, nn::HiddenStates& to, std::size_t user, std::int64_t users) {
  to.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t width = from[i].data.size();
    if (to[i].data.empty())
      to[i] = {from[i].shape.with(0, users), std::vector<float>(width * static_cast<std::size_t>(users))};
    std::copy(from[i].data.begin(), from[i].data.end(), to[i].data.begin() + static_cast<std::ptrdiff_t>(user * width));
  }
}

/// "layers.N" or "layers.N.part": layer and part (empty for the whole layer).
std::pair<std::int64_t, std::string_view> parse_layer_module(std::string_view name, std::int64_t layers) {
  constexpr std::string_view kPrefix = "layers.";
  const char* end = name.data() + name.size();
  std::int64_t layer = -1;
  const char* after = end;
  if (name.starts_with(kPrefix)) after = std::from_chars(name.data() + kPrefix.size(), end, layer).ptr;
  base::require(
      layer >= 0 && layer < layers && (after == end || *after == '.'),
      "[run_module] the module must be embedding, final_norm, lm_head or layers.N[.part], N in 0..{}; received "
      "{}; see module_names",
      layers - 1, name);
  return {layer,
          after == end ? std::string_view() : std::string_view(after + 1, static_cast<std::size_t>(end - after - 1))};
}

/// The model that the options ask for: perhaps only the first layers of the checkpoint's.
DecoderDescription describe(const checkpoint::Checkpoint& checkpoint, const ReferenceOptions& options) {
  DecoderDescription model = describe_decoder(checkpoint.config(), checkpoint.config_path().string());
  base::require(0 <= options.layers && options.layers <= model.layers,
                "[reference] layers must be in 0 (all)..{}; received {}", model.layers, options.layers);
  if (options.layers > 0) model.layers = options.layers;
  // Files of a bare model, without its LM head, name its weights without the first part.
  DecoderDescription bare = model;
  bare.bare_names = true;
  const auto has_embedding = [&](const DecoderDescription& named) {
    return checkpoint.contains(weight_names(named).embedding + ".weight");
  };
  return !has_embedding(model) && has_embedding(bare) ? bare : model;
}

} // namespace

ReferenceModel::ReferenceModel(const checkpoint::Checkpoint& checkpoint, const ReferenceOptions& options)
    : model_(describe(checkpoint, options)), weights_(checkpoint, model_, options.memory_budget_bytes) {
  base::require(options.max_users > 0 && options.context >= 0,
                "[reference] max_users must be at least 1 and context at least 0; received {} and {}",
                options.max_users, options.context);
  info_ = {.family = model_.model_type,
           .layers = model_.layers,
           .hidden_size = model_.hidden,
           .vocab_size = model_.vocabulary,
           .attention_width = model_.query_heads * model_.head_dim,
           .context = options.context == 0 ? model_.max_positions : options.context,
           .max_users = options.max_users,
           .mlp_norm = model_.mlp_norm,
           .output_norms = model_.output_norms,
           .rope = model_.positions == Positions::ROTARY};
  users_.resize(static_cast<std::size_t>(options.max_users));
  for (User& user : users_) user.layers.resize(static_cast<std::size_t>(model_.layers));
}

/// → I64 [1, S]
at::Tensor ReferenceModel::check_ids(std::string_view op, std::span<const std::int32_t> ids) const {
  base::require(!ids.empty(), "[{}] token ids must be given; received none", op);
  const at::Tensor tensor = at::empty({1, static_cast<std::int64_t>(ids.size())}, at::kLong);
  std::int64_t* to = tensor.data_ptr<std::int64_t>();
  for (const std::int32_t id : ids) {
    base::require(id >= 0 && id < model_.vocabulary,
                  "[{}] token ids must be in 0..{}; received {}; use the checkpoint's own tokenizer", op,
                  model_.vocabulary - 1, id);
    *to++ = id;
  }
  return tensor;
}

void ReferenceModel::begin_sequence(std::int64_t user, std::int64_t length) {
  base::require(user >= 0 && user < info_.max_users, "[model] user must be in 0..{}; received {}", info_.max_users - 1,
                user);
  users_[static_cast<std::size_t>(user)].stated_length = length;
}

void ReferenceModel::start_sequence(User& user, std::int64_t least_length) {
  user.length = std::max(std::exchange(user.stated_length, 0), least_length);
}

/// ids [B, S] → [B, S, E], scaled and with their positions where the model adds them.
at::Tensor ReferenceModel::embed(const at::Tensor& ids, std::int64_t first_position) {
  at::Tensor x = weights_.embed(ids);
  if (model_.embedding_scale != 1.0) x = x * static_cast<float>(model_.embedding_scale);
  return model_.positions == Positions::TABLE ? x + weights_.positions(first_position, ids.size(1)) : x;
}

/// x [.., E] → [.., V]
at::Tensor ReferenceModel::head(const at::Tensor& x) {
  return capped(weights_.lm_head(x), model_.logit_cap);
}

/// Appends ids [1, S] to a user's cache. → the last layer's output [1, S, E], before the final norm.
at::Tensor ReferenceModel::extend(User& user, const at::Tensor& ids, nn::HiddenStates* hidden_states) {
  const std::int64_t first = user.layers.front().length, end = first + ids.size(1);
  base::require(end <= info_.context,
                "[reference] positions must be below the context of {}; received {}; shorten the "
                "text or raise the context",
                info_.context, end - 1);
  const RotaryTable rotary = rotary_table(model_, first, ids.size(1), user.length);
  at::Tensor x = embed(ids, first); // [1, S, E]
  if (hidden_states != nullptr) *hidden_states = {to_host(x[0])};
  for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    x = decoder_layer(x, weights_.layer(layer),
                      {.model = model_,
                       .rotary = rotary,
                       .layer = layer,
                       .window = model_.windows[index],
                       .cache = &user.layers[index]});
    if (hidden_states != nullptr) hidden_states->push_back(to_host(x[0]));
  }
  return x;
}

nn::HostTensor ReferenceModel::prefill(std::int64_t user, std::span<const std::int32_t> ids, nn::LogitsRows rows,
                                       nn::HiddenStates* hidden_states) {
  const c10::InferenceMode guard;
  base::require(user >= 0 && user < info_.max_users, "[prefill] user must be in 0..{}; received {}",
                info_.max_users - 1, user);
  const at::Tensor tokens = check_ids("prefill", ids);
  User& own = users_[static_cast<std::size_t>(user)];
  for (LayerCache& layer : own.layers) layer.length = 0;
  start_sequence(own, static_cast<std::int64_t>(ids.size()));
  at::Tensor x = extend(own, tokens, hidden_states)[0]; // [S, E]
  if (rows == nn::LogitsRows::LAST) x = x.narrow(0, x.size(0) - 1, 1);
  return to_host(head(norm(x, weights_.final_norm(), model_)));
}

nn::HostTensor ReferenceModel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                      nn::HiddenStates* hidden_states) {
  const c10::InferenceMode guard;
  const auto users = static_cast<std::int64_t>(ids.size());
  base::require(users > 0 && users <= info_.max_users && positions.size() == ids.size(),
                "[decode] ids and positions must be given for 1..{} users; received {} and {}", info_.max_users, users,
                positions.size());
  const at::Tensor last = at::zeros({users, model_.hidden}, at::kFloat); // idle users stay zero
  if (hidden_states != nullptr) hidden_states->clear();
  for (std::size_t user = 0; user < ids.size(); ++user) {
    const std::int64_t position = positions[user];
    if (position == -1) continue;
    User& own = users_[user];
    const std::int64_t length = own.layers.front().length;
    base::require(
        position >= 0 && position <= length,
        "[decode] a position must be in 0..{}, the positions in the user's cache, or -1; received {} for user "
        "{}; run the earlier tokens first",
        length, position, user);
    const at::Tensor tokens = check_ids("decode", ids.subspan(user, 1));
    for (LayerCache& layer : own.layers) layer.length = position;
    if (position == 0) start_sequence(own, 1);
    nn::HiddenStates row;
    last[static_cast<std::int64_t>(user)] = extend(own, tokens, hidden_states != nullptr ? &row : nullptr)[0][0];
    if (hidden_states != nullptr) place_row(row, *hidden_states, user, users);
  }
  return to_host(head(norm(last, weights_.final_norm(), model_)));
}

nn::HostTensor ReferenceModel::run_module(std::string_view name, const nn::HostTensor& x, nn::Phase /*phase*/) {
  const c10::InferenceMode guard;
  base::require(x.shape.volume() > 0 && x.data.size() == static_cast<std::size_t>(x.shape.volume()),
                "[run_module] x must hold the values of its shape {}; received {}", x.shape, x.data.size());
  if (name == "embedding") {
    base::require(x.shape.rank() == 2, "[run_module] embedding takes ids [B, S]; received {}", x.shape);
    const std::vector<std::int32_t> ids(x.data.begin(), x.data.end());
    return to_host(embed(check_ids("run_module", ids).view({x.shape[0], x.shape[1]}), 0));
  }
  const bool rope = name.ends_with(".rope");
  const std::int64_t width = rope ? info_.attention_width : info_.hidden_size;
  base::require(x.shape.rank() == 3 && x.shape[2] == width, "[run_module] {} takes [B, S, {}]; received {}", name,
                width, x.shape);
  const at::Tensor input = to_torch(x);
  if (name == "final_norm") return to_host(norm(input, weights_.final_norm(), model_));
  if (name == "lm_head") return to_host(head(input));
  const auto [layer, part] = parse_layer_module(name, model_.layers);
  return to_host(run_layer_module(layer, part, input));
}

at::Tensor ReferenceModel::run_layer_module(std::int64_t layer, std::string_view part, const at::Tensor& x) {
  const RotaryTable rotary = rotary_table(model_, 0, x.size(1), x.size(1));
  if (part == "rope" && info_.rope) {
    const at::Tensor heads = x.view({x.size(0), x.size(1), -1, model_.head_dim}).transpose(1, 2); // [B, Hq, S, D]
    return apply_rotary(heads, rotary).transpose(1, 2).reshape(x.sizes());
  }
  const LayerWeights weights = weights_.layer(layer);
  const LayerContext context{
      .model = model_, .rotary = rotary, .layer = layer, .window = model_.windows[static_cast<std::size_t>(layer)]};
  if (part.empty()) return decoder_layer(x, weights, context);
  if (part == "input_norm") return norm(x, weights.input_norm, model_);
  if (part == "attention") return attention(x, weights, context);
  if (part == "post_attention_norm" && model_.mlp_norm) return norm(x, weights.post_attention_norm, model_);
  if (part == "attention_output_norm" && model_.output_norms) return norm(x, weights.attention_output_norm, model_);
  if (part == "mlp_output_norm" && model_.output_norms) return norm(x, weights.mlp_output_norm, model_);
  if (part == "mlp") return mlp(x, weights, model_);
  throw base::InvalidArgument(
      fmt::format("[run_module] a layer's module must be one that the model has, such as input_norm, attention or mlp; "
                  "received {}; see module_names",
                  part));
}

} // namespace tessera::reference
