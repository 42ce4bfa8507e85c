#include "tessera/generate/generator.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/profile_option.hpp"
#include "apps/cli/prompt_ids.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/sampling_options.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/token_stream.hpp"
#include "tessera/base/error.hpp"
#include "tessera/chat/chat_template.hpp"
#include "tessera/generate/stop_ids.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string checkpoint;
  std::string prompt;
  std::string prompt_ids;
  const CLI::Option* has_prompt = nullptr;
  const CLI::Option* has_prompt_ids = nullptr;
  std::int64_t max_tokens = 128;
  generate::SamplingOptions sampling;
  bool ids = false;
  bool ignore_eos = false;
  bool raw = false;
  ProfileOption profile;
  JsonOutput json;
};

const char* to_string(generate::Finish finish) {
  switch (finish) {
    case generate::Finish::STOP_ID:
      return "stop_id";
    case generate::Finish::MAX_TOKENS:
      return "max_tokens";
    case generate::Finish::CONTEXT_END:
      return "context_end";
    case generate::Finish::CANCELLED:
      return "cancelled";
    case generate::Finish::RUNNING:
      break;
  }
  return "running";
}

std::optional<tokenizer::Tokenizer> open_tokenizer(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  if (options.ids && options.has_prompt->empty()) return std::nullopt;
  const auto path = checkpoint.folder() / "tokenizer.json";
  std::error_code error;
  base::require<base::IoError>(std::filesystem::exists(path, error),
                               "[generate] text needs a tokenizer; {} does not exist; use --prompt-ids and --ids",
                               path.string());
  return tokenizer::Tokenizer::load(path);
}

std::vector<std::int32_t> prompt_of(const Options& options, const checkpoint::Checkpoint& checkpoint,
                                    const std::optional<tokenizer::Tokenizer>& tokenizer) {
  if (!options.has_prompt_ids->empty()) return parse_prompt_ids(options.prompt_ids);
  base::require(!options.prompt.empty(), "[generate] --prompt must hold some text; received none");
  const auto chat = options.raw ? std::nullopt : chat::ChatTemplate::of_checkpoint(checkpoint.folder());
  if (!chat) return tokenizer->encode(options.prompt, true);
  spdlog::debug("the prompt is a user's message in the checkpoint's chat template; --raw leaves it alone");
  return tokenizer->encode(chat->apply({{"user", options.prompt}}, true), false);
}

nlohmann::json report_of(const Options& options, const ModelOnBoard& opened, const std::vector<std::int32_t>& prompt,
                         const generate::Generation& generation, const TokenStream& stream) {
  nlohmann::json report{
      {"checkpoint", options.checkpoint},
      {"board", options.model.board},
      {"dp", opened.parallelism.dp},
      {"tp", opened.parallelism.tp()},
      {"precision", options.model.precision},
      {"numerics", options.model.numerics},
      {"prompt_ids", prompt},
      {"ids", generation.ids},
      {"finish", to_string(generation.finish)},
      {"host_time_to_first_token_ns", static_cast<std::int64_t>(generation.time_to_first_token_s * 1e9)},
      {"host_tokens_per_s", generation.tokens_per_s()}};
  if (!options.ids) report["text"] = stream.text();
  return report;
}

void print_figures(std::size_t prompt_tokens, const generate::Generation& generation) {
  write_note(fmt::format(
      "{} prompt tokens, {} new tokens; time to first token {:.1f} ms, {:.1f} tokens/s "
      "(measured on this host)",
      prompt_tokens, generation.ids.size(), 1e3 * generation.time_to_first_token_s, generation.tokens_per_s()));
  if (generation.finish == generate::Finish::CONTEXT_END) {
    write_note("stopped where the context ends; raise --context for more");
  }
  if (generation.finish == generate::Finish::CANCELLED) write_note("interrupted");
}

/// What all ranks must do alike, beside the model.
Ranks::Facts facts_of(const Options& options, const std::vector<std::int32_t>& prompt) {
  const generate::SamplingOptions& sampling = options.sampling;
  return {{"prompt", fmt::format("{}", fmt::join(prompt, ","))},
          {"--max-tokens", std::to_string(options.max_tokens)},
          {"--ignore-eos", options.ignore_eos ? "set" : "not set"},
          {"sampling", fmt::format("temperature {}, top-p {}, top-k {}, seed {}", sampling.temperature, sampling.top_p,
                                   sampling.top_k, sampling.seed)}};
}

int run(const Options& options) {
  base::require(options.has_prompt->empty() != options.has_prompt_ids->empty(),
                "[generate] one of --prompt and --prompt-ids is required; received {}",
                options.has_prompt->empty() ? "neither" : "both");
  const InterruptGuard interrupt;
  const auto checkpoint = checkpoint::Checkpoint::open(options.checkpoint);
  const auto tokenizer = open_tokenizer(options, checkpoint);
  const std::vector<std::int32_t> prompt = prompt_of(options, checkpoint, tokenizer);
  Ranks::require_same(facts_of(options, prompt));
  const ModelOnBoard opened = open_model(options.model, checkpoint,
                                         {.precision = options.model.precision,
                                          .context = options.model.context,
                                          .execution = {.trace = !options.model.no_trace},
                                          .weight_cache = weight_cache_of(options.model)});

  generate::GeneratorOptions settings{.cancelled = &InterruptGuard::flag()};
  if (!options.ignore_eos) settings.stop_ids = generate::stop_ids(checkpoint);
  std::optional<TokenStream> stream; // made when the prompt is known to be good
  ProfileRecording recording(options.profile, opened.devices(), options.model, options.checkpoint);
  recording.begin_stage("prefill");
  settings.on_token = [&](std::size_t, std::int32_t id) {
    recording.begin_stage("decode");
    stream->push(id);
  };
  generate::Generator generator(*opened.model, settings);
  generator.submit({.prompt_ids = prompt, .max_tokens = options.max_tokens, .sampling = options.sampling});
  stream.emplace(options.ids ? std::nullopt : tokenizer, prompt, options.json.on_standard_output());
  generator.run();
  stream->finish();

  const generate::Generation& generation = generator.generations().front();
  options.json.write(report_of(options, opened, prompt, generation, *stream));
  print_figures(prompt.size(), generation);
  recording.write();
  return generation.finish == generate::Finish::CANCELLED ? EXIT_INTERRUPTED : EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("CHECKPOINT", options.checkpoint, "A checkpoint's folder or Hugging Face name")->required();
  options.has_prompt = app.add_option("--prompt", options.prompt, "Text to continue");
  options.has_prompt_ids =
      app.add_option("--prompt-ids", options.prompt_ids, "Token ids to continue: 1,2,3, or @FILE that holds them");
  app.add_option("--max-tokens", options.max_tokens, "New tokens at most")->capture_default_str();
  add_sampling_options(app, options.sampling);
  app.add_flag("--ids", options.ids, "Print token ids, with spaces between them, in place of text");
  app.add_flag("--raw", options.raw, "Leave the prompt alone where the checkpoint has a chat template");
  app.add_flag("--ignore-eos", options.ignore_eos, "Go on after an end-of-text token");
  options.model.add(app);
  options.model.add_trace_options(app);
  options.profile.add(app);
  options.json.add(app, "Ids, text and figures");
}

} // namespace

Command generate_command() {
  return {.name = "generate",
          .summary = "Continues a prompt, streaming the text or ids alone to standard output",
          .examples =
              "The prompt itself is not printed, nor is the token that ends the text. Ctrl-C ends it early.\n"
              "Where the checkpoint has a chat template, as instruct models do, --prompt is a user's message in it.\n\n"
              "Examples:\n"
              "  tessera generate demo --prompt \"Alice was beginning to\" --max-tokens 60\n"
              "  tessera generate demo --prompt \"The Rabbit\" --temperature 0.8 --top-p 0.9 --seed 7\n"
              "  tessera generate demo --prompt-ids 1,72,101 --ids --precision full",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          },
          .on_several_ranks = true};
}

} // namespace tessera::cli
