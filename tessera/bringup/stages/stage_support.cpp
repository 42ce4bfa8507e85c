#include "tessera/bringup/stages/stage_support.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "tessera/bringup/advice.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

constexpr std::string_view kLayerPrefix = "layers.";

} // namespace

std::int64_t text_positions(const StageContext& context) {
  std::int64_t sum = 0;
  for (const Ids& ids : context.material().texts) sum += static_cast<std::int64_t>(ids.size());
  return sum;
}

std::int64_t prompt_positions(const StageContext& context) {
  std::int64_t sum = 0;
  for (const Ids& ids : context.material().prompts) {
    sum += static_cast<std::int64_t>(ids.size()) + context.options().generation_tokens;
  }
  return sum;
}

bool TextLoss::better_than_guessing(std::int64_t vocab_size) const {
  return positions > 0 && mean < std::log(static_cast<double>(vocab_size));
}

TextLoss reference_loss(const StageContext& context, bool advance) {
  TextLoss loss;
  double sum = 0.0;
  for (const Ids& text : context.material().texts) {
    const ReferenceOutput* output = context.reference().sequence(text);
    const auto length = static_cast<std::int64_t>(text.size());
    context.advance(advance ? length : 0, "reference on the text");
    if (output == nullptr) continue;
    const std::int64_t first = output->first_position(text.size());
    for (std::int64_t position = first; position + 1 < length; ++position) {
      sum += metrics::cross_entropy(output->logits.row(position - first), text[static_cast<std::size_t>(position) + 1]);
      ++loss.positions;
    }
  }
  if (loss.positions > 0) loss.mean = sum / static_cast<double>(loss.positions);
  return loss;
}

std::vector<ForcedPrompt> forced_prompts(const StageContext& context) {
  std::vector<ForcedPrompt> forced;
  const std::vector<Ids>& prompts = context.material().prompts;
  for (std::size_t number = 0; number < prompts.size(); ++number) {
    ForcedPrompt one{.number = number, .prompt = prompts[number]};
    const std::int64_t room = context.device().info().context - static_cast<std::int64_t>(one.prompt.size()) + 1;
    context.advance(0, "reference's continuation");
    auto ids = context.reference().continuation(one.prompt, std::min(room, context.options().generation_tokens));
    if (!ids) continue;
    one.continuation = std::move(*ids);
    one.fed = one.prompt;
    one.fed.insert(one.fed.end(), one.continuation.begin(), one.continuation.end() - 1);
    one.expected = context.reference().sequence(one.fed);
    if (one.expected != nullptr) forced.push_back(std::move(one));
  }
  if (forced.empty()) {
    throw Skipped{prompts.empty() ? "no prompt was given; give --prompt"
                                  : fmt::format("{} has no continuation of the prompts (gen_ids, gen_logits)",
                                                context.reference().description())};
  }
  return forced;
}

std::vector<generate::SequenceOutput> run_device(const StageContext& context, const std::vector<Ids>& sequences,
                                                 generate::ForwardOptions options, const std::string& doing) {
  return run_on(context.device(), context, sequences, std::move(options), doing);
}

std::vector<generate::SequenceOutput> run_on(nn::CausalLM& device, const StageContext& context,
                                             const std::vector<Ids>& sequences, generate::ForwardOptions options,
                                             const std::string& doing) {
  std::int64_t before = 0;
  options.progress = [&](std::int64_t done, std::int64_t) {
    context.advance(done - before, doing);
    before = done;
  };
  return generate::forward(device, sequences, options);
}

bool is_whole_layer(std::string_view module) {
  return module.starts_with(kLayerPrefix) && module.find('.', kLayerPrefix.size()) == module.npos;
}

std::vector<std::string> chosen_modules(const StageContext& context) {
  return chosen_modules(context.device(), context.options().all_layers);
}

std::vector<std::string> chosen_modules(const nn::CausalLM& model, bool all_layers) {
  const std::int64_t layers = model.info().layers;
  const std::set<std::int64_t> chosen{0, layers / 2, layers - 1};
  std::vector<std::string> names = model.module_names();
  std::erase_if(names, [&](const std::string& name) {
    if (all_layers || !name.starts_with(kLayerPrefix)) return false;
    std::int64_t layer = 0;
    std::from_chars(name.data() + kLayerPrefix.size(), name.data() + name.size(), layer);
    return !chosen.contains(layer);
  });
  return names;
}

tensor::HostTensor corner(const tensor::HostTensor& tensor, std::int64_t users, std::int64_t positions) {
  const std::int64_t width = tensor.shape.rank() == 3 ? tensor.shape[2] : 1;
  tensor::HostTensor part{tensor.shape.with(0, users).with(1, positions), {}};
  part.data.reserve(static_cast<std::size_t>(part.shape.volume()));
  for (std::int64_t user = 0; user < users; ++user) {
    const auto first = tensor.data.begin() + user * tensor.shape[1] * width;
    part.data.insert(part.data.end(), first, first + positions * width);
  }
  return part;
}

void point_at_first_failure(std::vector<Row>& rows, std::string_view precision) {
  const Row* first = nullptr;
  for (Row& row : rows) {
    if (row.passed) continue;
    row.advice = first == nullptr ? "the first to fail; " + advice_for(row, precision)
                                  : fmt::format("mend {} first, which this follows", first->module);
    if (first == nullptr) first = &row;
  }
}

} // namespace tessera::bringup
