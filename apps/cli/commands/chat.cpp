#include "tessera/chat/chat_template.hpp"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/sampling_options.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/token_stream.hpp"
#include "apps/cli/tokenizer_path.hpp"
#include "tessera/base/error.hpp"
#include "tessera/generate/generator.hpp"
#include "tessera/generate/stop_ids.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string checkpoint;
  std::string system;
  std::int64_t max_tokens = 512;
  generate::SamplingOptions sampling;
};

/// The next line of the user's that is not empty; none at the end of the input.
std::optional<std::string> ask() {
  const bool terminal = isatty(STDIN_FILENO) == 1;
  std::string line;
  do {
    if (terminal) std::cerr << "> " << std::flush;
    if (!std::getline(std::cin, line)) return std::nullopt;
  } while (line.empty());
  return line;
}

int run(const Options& options) {
  const InterruptGuard interrupt;
  const auto checkpoint = checkpoint::Checkpoint::open(options.checkpoint);
  const auto chat = chat::ChatTemplate::of_checkpoint(checkpoint.folder());
  base::require<base::Unsupported>(chat.has_value(),
                                   "[chat] {} must hold a chat template, chat_template.jinja or that of "
                                   "tokenizer_config.json; it has none; use generate",
                                   checkpoint.folder().string());
  const std::optional tokenizer = load_tokenizer(options.checkpoint);
  const ModelOnBoard opened = open_model(options.model, checkpoint,
                                         {.precision = options.model.precision,
                                          .context = options.model.context,
                                          .execution = {.trace = !options.model.no_trace},
                                          .weight_cache = weight_cache_of(options.model)});
  std::vector<chat::Message> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  while (const auto line = ask()) {
    messages.push_back({"user", *line});
    const std::vector<std::int32_t> prompt = tokenizer->encode(chat->apply(messages, true), false);
    TokenStream stream(tokenizer, prompt, /*silent=*/false);
    generate::Generator generator(*opened.model, {.stop_ids = generate::stop_ids(checkpoint),
                                                  .on_token = [&](std::size_t, std::int32_t id) { stream.push(id); },
                                                  .cancelled = &InterruptGuard::flag()});
    generator.submit({.prompt_ids = prompt, .max_tokens = options.max_tokens, .sampling = options.sampling});
    generator.run();
    stream.finish();
    if (generator.generations().front().finish == generate::Finish::CANCELLED) return EXIT_INTERRUPTED;
    messages.push_back({"assistant", stream.text()});
  }
  return EXIT_OK;
}

} // namespace

Command chat_command() {
  return {
      .name = "chat",
      .summary = "Talks with an instruct model, in its own chat template: a line in, an answer out",
      .examples =
          "Each line of standard input is a message, and the whole conversation so far is the next prompt. It ends\n"
          "with the input, or by Ctrl-C.\n\n"
          "Examples:\n"
          "  tessera chat Qwen/Qwen2.5-0.5B-Instruct\n"
          "  echo 'What is a tile?' | tessera chat model/ --system 'Answer in one line.' --temperature 0.7",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("CHECKPOINT", options->checkpoint, "A checkpoint's folder or Hugging Face name")->required();
        app.add_option("--system", options->system, "A system message before the first");
        app.add_option("--max-tokens", options->max_tokens, "New tokens of an answer at most")->capture_default_str();
        add_sampling_options(app, options->sampling);
        options->model.add(app);
        options->model.add_trace_options(app);
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
