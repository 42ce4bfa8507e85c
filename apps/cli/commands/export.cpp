#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "apps/cli/bringup_material.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/bringup/export/handoff.hpp"
#include "tessera/bringup/live_reference.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

constexpr std::int64_t kModulePositions = 128; // the shortest prompt that tt_transformers' prefill tests take

struct Options {
  std::string checkpoint;
  std::string folder;
  std::string precision = "accuracy";
  std::string text_file;
  std::int64_t length = 1024;
  std::int64_t users = 1;
  bool all_layers = false;
  int threads = 0;
  JsonOutput json;
};

/// "Llama-3.2-1B" of a path or a Hugging Face name.
std::string model_name(const std::string& checkpoint) {
  const std::filesystem::path path = std::filesystem::absolute(checkpoint).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string table_of(const nlohmann::json& manifest) {
  std::string text = fmt::format("{:<52} {}\n", "file", "for");
  const auto row = [&](const std::string& file, const std::string& use) {
    text += fmt::format("{:<52} {}\n", file, use);
  };
  row(manifest.at("decoder_config"), "--decoder_config_file of tt_transformers");
  const nlohmann::json& tokens = manifest.at("reference_tokens");
  row(tokens.at("file"), fmt::format("token accuracy, {} tokens of {}", tokens.at("tokens").get<std::int64_t>(),
                                     manifest.at("text").get<std::string>()));
  for (const auto& module : manifest.at("modules")) row(module.at("file"), module.at("test"));
  return text;
}

int run(const Options& options) {
  const InterruptGuard interrupt;
  bringup::check_export_folder(options.folder);
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  base::require<base::Unsupported>(!is_classifier(checkpoint),
                                   "[export] language models alone can be handed off; {} is a classifier",
                                   options.checkpoint);
  const nn::DecoderConfig config = models::configure(checkpoint);
  const nn::Precision precision = nn::make_precision(
      options.precision, {.family = config.family, .layers = config.layers, .parameters = config.parameters()});
  base::require(options.length >= 4, "[export] --length must be 4 or more; received {}", options.length);
  const std::int64_t length = std::min(options.length, config.max_positions);
  const MaterialChoice choice = choose_material(
      checkpoint, find_tokenizer(checkpoint),
      {.text_file = options.text_file, .sequence_length = length, .max_ids = length, .vocab_size = config.vocab_size});
  const auto open = [&] { return reference::open(checkpoint, {.threads = options.threads}); };
  const std::vector<std::string> modules = bringup::chosen_modules(*open(), options.all_layers);
  bringup::LiveReference reference(
      open, bringup::ResultCache({}, ""), choice.material.texts,
      {.module_users = options.users, .module_positions = std::min(kModulePositions, config.max_positions)});
  Progress progress("exporting");
  const bringup::Handoff handoff{.checkpoint = options.checkpoint,
                                 .model_name = model_name(options.checkpoint),
                                 .precision = options.precision,
                                 .settings = bringup::decoder_settings(precision, config.layers),
                                 .reference = reference,
                                 .text = choice.material.texts.front(),
                                 .modules = modules,
                                 .text_source = choice.text_source,
                                 .progress = [&](std::int64_t done, std::int64_t total) {
                                   InterruptGuard::check();
                                   progress.update(done, total);
                                 }};
  const nlohmann::json manifest = bringup::write_handoff(handoff, options.folder);
  options.json.write(manifest);
  if (!options.json.on_standard_output()) write_standard_output(table_of(manifest));
  for (const auto& sentence : manifest.at("left_out")) write_note("left out: " + sentence.get<std::string>());
  write_note(fmt::format("the hand-off lies in {}; its README.md says how to use each file", options.folder));
  return EXIT_OK;
}

} // namespace

Command export_command() {
  return {
      .name = "export",
      .summary = "Writes what tt_transformers' tests on a real card read: precision, reference tokens, golden tensors",
      .examples =
          "The folder appears whole, in the place of an earlier export. Expected values are those of libtorch.\n\n"
          "Examples:\n"
          "  tessera export demo --report handoff\n"
          "  tessera export demo --report handoff --precision tuned.json --length 256 --all-layers",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("CHECKPOINT", options->checkpoint, "A checkpoint's folder or Hugging Face name")->required();
        app.add_option("--report", options->folder, "Folder for the files")->required();
        app.add_option("--precision", options->precision,
                       "bf16, bfp8, bfp4, accuracy, performance, or a JSON file with formats per tensor group and "
                       "layer")
            ->capture_default_str();
        app.add_option("--text", options->text_file,
                       "Text of the reference tokens; default: heldout.txt beside the weights, else a paragraph of "
                       "Dickens");
        app.add_option("--length", options->length, "Tokens of the reference file, at most the model's context")
            ->capture_default_str();
        app.add_option("--users", options->users, "Users of the modules' decode steps")
            ->capture_default_str()
            ->check(CLI::Range(1, 32));
        app.add_flag("--all-layers", options->all_layers, "Modules of every layer, not the first, middle and last");
        app.add_option("--threads", options->threads, "Host threads; 0: one for each hardware thread")
            ->capture_default_str();
        options->json.add(app, "The list of files");
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
