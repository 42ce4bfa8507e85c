#include "tessera/bringup/file_reference.hpp"

#include <algorithm>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::bringup {
namespace {

using tensor::HostTensor;

/// Typed access to the file, with errors that name it.
class Source {
 public:
  explicit Source(const std::filesystem::path& path)
      : file_(checkpoint::SafeTensors::open(path)), path_(path.string()) {}

  bool has(const std::string& name) const { return file_.contains(name); }

  HostTensor values(const std::string& name, std::size_t rank) const {
    const checkpoint::TensorView& view = at(name, rank);
    base::require(checkpoint::is_floating_point(view.dtype), "[bringup] {} in {} must be floating point; received {}",
                  name, path_, checkpoint::to_string(view.dtype));
    return {Shape(view.shape), checkpoint::to_float(view)};
  }

  /// The rows of an integer tensor of rank 1 or 2.
  std::vector<Ids> ids(const std::string& name, std::size_t rank) const {
    const checkpoint::TensorView& view = at(name, rank);
    const std::vector<std::int64_t> all = checkpoint::to_int64(view);
    const auto length = static_cast<std::size_t>(view.shape.back());
    base::require(length > 0, "[bringup] {} in {} must hold at least one id; received none", name, path_);
    std::vector<Ids> rows;
    for (std::size_t first = 0; first < all.size(); first += length) {
      Ids& row = rows.emplace_back();
      for (std::size_t i = first; i < first + length; ++i) row.push_back(checked_id(name, all[i]));
    }
    return rows;
  }

  /// Row `index` of dimension 0. REQUIRES: rank >= 2.
  static HostTensor slice(const HostTensor& tensor, std::size_t index) {
    const auto extents = tensor.shape.extents().subspan(1);
    HostTensor part{Shape(extents), {}};
    const auto size = part.shape.volume();
    const auto first = tensor.data.begin() + static_cast<std::int64_t>(index) * size;
    part.data.assign(first, first + size);
    return part;
  }

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> text, Args&&... args) const {
    base::require(condition, "[bringup] in {}: {}", path_, fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  const checkpoint::TensorView& at(const std::string& name, std::size_t rank) const {
    const checkpoint::TensorView& view = file_.at(name);
    require(view.shape.size() == rank, "{} must have rank {}; received {}", name, rank,
            checkpoint::shape_to_string(view.shape));
    return view;
  }

  std::int32_t checked_id(const std::string& name, std::int64_t id) const {
    require(id >= 0 && id <= std::numeric_limits<std::int32_t>::max(), "{} must hold token ids; received {}", name, id);
    return static_cast<std::int32_t>(id);
  }

  checkpoint::SafeTensors file_;
  std::string path_;
};

/// `ids` as the embedding's input: [B, S] floats.
HostTensor as_input(const std::vector<Ids>& rows) {
  HostTensor input{{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.front().size())}, {}};
  for (const Ids& row : rows) input.data.insert(input.data.end(), row.begin(), row.end());
  return input;
}

HostTensor sum_of(HostTensor a, const HostTensor& b) {
  for (std::size_t i = 0; i < a.data.size(); ++i) a.data[i] += b.data[i];
  return a;
}

/// The main text: every position's logits, and the hidden states where the file has them.
std::map<Ids, ReferenceOutput> read_sequences(const Source& source, const std::vector<Ids>& texts) {
  const HostTensor logits = source.values("logits", 3);
  const auto batch = static_cast<std::int64_t>(texts.size());
  const auto length = static_cast<std::int64_t>(texts.front().size());
  source.require(logits.shape[0] == batch && logits.shape[1] == length,
                 "logits must be [{}, {}, V], as input_ids; received {}", batch, length, logits.shape);
  std::vector<HostTensor> states;
  for (std::string name = "hidden_states.0"; source.has(name); name = fmt::format("hidden_states.{}", states.size())) {
    states.push_back(source.values(name, 3));
    source.require(states.back().shape[0] == batch && states.back().shape[1] == length &&
                       states.back().shape[2] == states.front().shape[2],
                   "{} must be [{}, {}, E]; received {}", name, batch, length, states.back().shape);
  }
  std::map<Ids, ReferenceOutput> sequences;
  for (std::size_t row = 0; row < texts.size(); ++row) {
    ReferenceOutput& output = sequences[texts[row]];
    output.logits = Source::slice(logits, row);
    output.hidden_states.clear();
    for (const HostTensor& state : states) output.hidden_states.push_back(Source::slice(state, row));
  }
  return sequences;
}

/// How a family's published code names the modules of a layer. nullptr: the family has none.
struct ModuleNames {
  const char* layers;
  const char* input_norm;
  const char* attention;
  const char* attention_output_norm;
  const char* mlp_norm;
  const char* mlp;
  const char* mlp_output_norm;
  bool parallel_residual; // the MLP's norm reads the layer's input
};
/// Gemma 2 first: its post_attention_layernorm is another module than Llama's.
constexpr ModuleNames kModuleNames[] = {
    {"model.layers.", "input_layernorm", "self_attn", "post_attention_layernorm", "pre_feedforward_layernorm", "mlp",
     "post_feedforward_layernorm", false},
    {"model.layers.", "input_layernorm", "self_attn", nullptr, "post_attention_layernorm", "mlp", nullptr, false},
    {"model.layers.", "input_layernorm", "self_attn", nullptr, "post_attention_layernorm", "block_sparse_moe", nullptr,
     false},
    {"transformer.h.", "ln_attn", "self_attention", nullptr, "ln_mlp", "mlp", nullptr, true},
    {"transformer.h.", "input_layernorm", "self_attention", nullptr, "post_attention_layernorm", "mlp", nullptr, false},
    {"transformer.h.", "ln_1", "attn", nullptr, "ln_2", "mlp", nullptr, false},
};

/// Adds the modules of layer `ours` whose tensors the file has under `names`; `x` is the layer's input. False when the
/// file names that layer's modules otherwise.
bool read_layer(const Source& source, const ModuleNames& names, std::int64_t layer, const HostTensor& x,
                std::map<std::string, ModuleCase>& cases) {
  const std::string ours = fmt::format("layers.{}", layer);
  const auto named = [&](const char* part) { return fmt::format("{}{}.{}", names.layers, layer, part); };
  const auto has = [&](const char* part) { return part != nullptr && source.has(named(part)); };
  const auto output = [&](const char* part) { return source.values(named(part), 3); };
  if (names.mlp_output_norm != nullptr && !has(names.mlp_norm)) return false;
  if (has(names.input_norm)) {
    cases[ours + ".input_norm"] = {x, output(names.input_norm)};
    if (has(names.attention)) cases[ours + ".attention"] = {output(names.input_norm), output(names.attention)};
  }
  const char* attended = names.attention;
  if (has(names.attention_output_norm) && has(names.attention)) {
    cases[ours + ".attention_output_norm"] = {output(names.attention), output(names.attention_output_norm)};
    attended = names.attention_output_norm;
  }
  if (!has(names.mlp_norm)) return false;
  if (names.parallel_residual) {
    cases[ours + ".post_attention_norm"] = {x, output(names.mlp_norm)};
  } else if (has(attended)) {
    cases[ours + ".post_attention_norm"] = {sum_of(x, output(attended)), output(names.mlp_norm)};
  }
  if (!has(names.mlp)) return false;
  cases[ours + ".mlp"] = {output(names.mlp_norm), output(names.mlp)};
  if (has(names.mlp_output_norm)) cases[ours + ".mlp_output_norm"] = {output(names.mlp), output(names.mlp_output_norm)};
  return true;
}

/// Inputs and outputs of all modules that follow from the tensors in the file.
std::map<std::string, ModuleCase> read_modules(const Source& source, const std::vector<Ids>& texts) {
  std::map<std::string, ModuleCase> cases;
  const auto has_state = [&](std::int64_t i) { return source.has(fmt::format("hidden_states.{}", i)); };
  const auto state = [&](std::int64_t i) { return source.values(fmt::format("hidden_states.{}", i), 3); };
  if (!has_state(0)) return cases;
  cases["embedding"] = {as_input(texts), state(0)};
  std::int64_t layers = 0;
  for (; has_state(layers + 1); ++layers) {
    const std::string ours = fmt::format("layers.{}", layers);
    cases[ours] = {state(layers), state(layers + 1)};
    std::any_of(std::begin(kModuleNames), std::end(kModuleNames),
                [&](const ModuleNames& names) { return read_layer(source, names, layers, state(layers), cases); });
  }
  if (source.has("final_norm")) {
    const HostTensor norm = source.values("final_norm", 3);
    cases["final_norm"] = {state(layers), norm};
    cases["lm_head"] = {norm, source.values("logits", 3)};
  }
  for (const auto& [name, one] : cases) {
    const bool fits = one.input.shape[0] == one.expected.shape[0] && one.input.shape[1] == one.expected.shape[1];
    source.require(fits, "the tensors of module {} must be of one batch and length; received {} and {}", name,
                   one.input.shape, one.expected.shape);
  }
  return cases;
}

struct Generated {
  Ids prompt;
  Ids ids;
  HostTensor logits; // [n, V]
};

std::vector<Generated> read_generations(const Source& source) {
  std::vector<Generated> generations;
  if (source.has("gen_prompt_ids") && source.has("gen_ids") && source.has("gen_logits")) {
    const auto prompts = source.ids("gen_prompt_ids", 2);
    const auto ids = source.ids("gen_ids", 2);
    const HostTensor logits = source.values("gen_logits", 3);
    source.require(ids.size() == prompts.size() && logits.shape[0] == static_cast<std::int64_t>(prompts.size()),
                   "gen_ids and gen_logits must have a row for each of {} prompts; received {} and {}", prompts.size(),
                   ids.size(), logits.shape[0]);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      generations.push_back({prompts[i], ids[i], Source::slice(logits, i)});
    }
  }
  for (std::size_t number = 0; source.has(fmt::format("prompt{}.gen_logits", number)); ++number) {
    const std::string prefix = fmt::format("prompt{}.", number);
    generations.push_back({source.ids(prefix + "prompt_ids", 1).front(), source.ids(prefix + "gen_ids", 1).front(),
                           source.values(prefix + "gen_logits", 2)});
  }
  for (Generated& one : generations) {
    const auto known = static_cast<std::size_t>(one.logits.shape[0]);
    source.require(known >= 1 && known <= one.ids.size(), "gen_logits must have 1 to {} rows; received {}",
                   one.ids.size(), known);
    one.ids.resize(known); // tokens whose logits are not known cannot be judged
  }
  return generations;
}

} // namespace

FileReference::FileReference(const std::filesystem::path& path)
    : description_(fmt::format("file {}", path.filename().string())) {
  const Source source(path);
  material_.texts = source.ids("input_ids", 2);
  sequences_ = read_sequences(source, material_.texts);
  module_cases_ = read_modules(source, material_.texts);
  for (Generated& one : read_generations(source)) {
    Ids fed = one.prompt; // the last token of a generation is not fed to the model
    fed.insert(fed.end(), one.ids.begin(), one.ids.end() - 1);
    sequences_.try_emplace(fed, ReferenceOutput{.logits = std::move(one.logits)});
    continuations_[one.prompt] = std::move(one.ids);
    material_.prompts.push_back(std::move(one.prompt));
  }
  if (source.has("long_input_ids") && source.has("long_logits")) {
    const auto texts = source.ids("long_input_ids", 2);
    const HostTensor logits = source.values("long_logits", 3);
    source.require(logits.shape[0] == static_cast<std::int64_t>(texts.size()) &&
                       logits.shape[1] <= static_cast<std::int64_t>(texts.front().size()),
                   "long_logits must have at most one row for each of long_input_ids; received {}", logits.shape);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      sequences_.try_emplace(texts[i], ReferenceOutput{.logits = Source::slice(logits, i)});
      material_.texts.push_back(texts[i]);
    }
  }
}

const ModuleCase* FileReference::module_case(const std::string& module) {
  const auto found = module_cases_.find(module);
  return found == module_cases_.end() ? nullptr : &found->second;
}

const ReferenceOutput* FileReference::sequence(const Ids& ids) {
  const auto found = sequences_.find(ids);
  return found == sequences_.end() ? nullptr : &found->second;
}

std::optional<Ids> FileReference::continuation(const Ids& prompt, std::int64_t /*tokens*/) {
  const auto found = continuations_.find(prompt);
  if (found == continuations_.end()) return std::nullopt;
  return found->second;
}

} // namespace tessera::bringup
