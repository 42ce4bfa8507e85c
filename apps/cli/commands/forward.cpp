#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>

#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_forward.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/op_listing.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/generate/forward.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

constexpr std::int64_t kMaxUsers = 32; // rows of a tile

struct Options {
  ModelOptions model;
  std::string checkpoint;
  std::string input;
  std::string output;
  std::string mode = "prefill";
  bool hidden_states = false;
  JsonOutput json;
};

using Sequences = std::vector<std::vector<std::int32_t>>; // B sequences of S ids

/// `input_ids` [B, S], I64.
Sequences read_input_ids(const std::string& path) {
  const checkpoint::TensorView tensor = checkpoint::SafeTensors::open(path).at("input_ids");
  const std::string shape = checkpoint::shape_to_string(tensor.shape);
  base::require(tensor.dtype == checkpoint::StorageType::I64 && tensor.shape.size() == 2 && tensor.num_elements() > 0,
                "[forward] input_ids must be I64 of shape [B, S], both at least 1; {} has {} {}", path,
                checkpoint::to_string(tensor.dtype), shape);
  const auto length = static_cast<std::size_t>(tensor.shape[1]);
  const std::vector<std::int64_t> values = checkpoint::to_int64(tensor);
  Sequences sequences(static_cast<std::size_t>(tensor.shape[0]));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool fits = 0 <= values[i] && values[i] <= std::numeric_limits<std::int32_t>::max();
    base::require(fits, "[forward] token ids must be inside the vocabulary; {} has {} in sequence {} at position {}",
                  path, values[i], i / length, i % length);
    sequences[i / length].push_back(static_cast<std::int32_t>(values[i]));
  }
  return sequences;
}

checkpoint::OutputTensor output_tensor(std::string name, const tensor::HostTensor& tensor) {
  const auto extents = tensor.shape.extents();
  return {.name = std::move(name),
          .shape = {extents.begin(), extents.end()},
          .data = std::as_bytes(std::span(tensor.data))};
}

void write_output(const std::string& path, const generate::SequenceOutput& result) {
  std::vector<checkpoint::OutputTensor> tensors{output_tensor("logits", result.logits)};
  for (std::size_t i = 0; i < result.hidden_states.size(); ++i) {
    tensors.push_back(output_tensor(fmt::format("hidden_states.{}", i), result.hidden_states[i]));
  }
  checkpoint::write_safetensors(path, tensors);
}

/// The model that --mode names, and the listing of its first step where one is wanted.
struct Runner {
  std::optional<ModelOnBoard> on_board; // none for the reference
  std::unique_ptr<nn::CausalLM> reference;
  std::optional<OpListing> listing; // of the first copy

  nn::CausalLM& model() const { return on_board ? *on_board->model : *reference; }
};

void open_on_device(Runner& runner, const Options& options, const checkpoint::Checkpoint& checkpoint,
                    const Sequences& sequences) {
  const auto length = static_cast<std::int64_t>(sequences.front().size());
  const auto users = options.mode == "decode" ? std::min(static_cast<std::int64_t>(sequences.size()),
                                                         kMaxUsers * options.model.dp.value_or(1))
                                              : 1;
  runner.on_board = open_model(options.model, checkpoint,
                               {.precision = options.model.precision,
                                .context = options.model.context > 0 ? options.model.context : length,
                                .max_users = users,
                                .weight_cache = weight_cache_of(options.model)});
  if (options.json.wanted()) runner.listing.emplace(*runner.on_board->devices().front());
}

nlohmann::json report_of(const Options& options, const Sequences& sequences, double seconds) {
  nlohmann::json report{{"checkpoint", options.checkpoint}, {"mode", options.mode},
                        {"batch", sequences.size()},        {"sequence_length", sequences.front().size()},
                        {"output", options.output},         {"host_time_ns", static_cast<std::int64_t>(seconds * 1e9)}};
  if (options.mode != "reference") {
    report["board"] = options.model.board;
    report["precision"] = options.model.precision;
    report["numerics"] = options.model.numerics;
  }
  return report;
}

int run(const Options& options) {
  base::require(options.mode == "prefill" || options.mode == "decode" || options.mode == "reference",
                "[forward] --mode must be prefill, decode or reference; received \"{}\"", options.mode);
  const InterruptGuard interrupt;
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  if (is_classifier(checkpoint)) {
    base::require(options.mode != "decode", "[forward] a classifier has no --mode decode; leave it out");
    return forward_classifier({.model = options.model,
                               .checkpoint = options.checkpoint,
                               .input = options.input,
                               .output = options.output,
                               .reference = options.mode == "reference",
                               .features = options.hidden_states},
                              checkpoint, options.json);
  }
  const Sequences sequences = read_input_ids(options.input);
  std::string input = options.mode;
  for (const auto& ids : sequences) input += fmt::format("; {}", fmt::join(ids, ","));
  Ranks::require_same({{"--mode and --input", input}});
  Runner runner;
  if (options.mode == "reference") {
    runner.reference = reference::open(checkpoint, {.threads = options.model.threads});
  } else {
    open_on_device(runner, options, checkpoint, sequences);
  }
  Progress progress("forward, positions");
  const auto start = std::chrono::steady_clock::now();
  auto outputs = generate::forward(runner.model(), sequences,
                                   {.prefill_positions = options.mode == "decode" ? 0 : generate::ForwardOptions::kAll,
                                    .hidden_states = options.hidden_states,
                                    .progress = [&](std::int64_t done, std::int64_t total) {
                                      if (runner.listing) runner.listing->finish_step();
                                      InterruptGuard::check();
                                      progress.update(done, total);
                                    }});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (Ranks::is_first()) write_output(options.output, generate::stack(std::move(outputs)));

  nlohmann::json report = report_of(options, sequences, seconds);
  if (runner.listing) report["ops"] = runner.listing->take();
  options.json.write(report);
  write_note(fmt::format("{} sequences of {} tokens in {:.3f} s (measured on this host); {} written", sequences.size(),
                         sequences.front().size(), seconds, options.output));
  return 0;
}

} // namespace

Command forward_command() {
  return {.name = "forward",
          .summary = "Runs token ids or images through a model and writes its logits",
          .examples =
              "IN holds input_ids [B, S] (I64). OUT gets logits [B, S, V] (F32) and, with --hidden-states,\n"
              "hidden_states.N [B, S, E]: 0 is the input of layer 0, N the output of layer N-1 with the residual\n"
              "added, before the final norm.\n"
              "Or IN holds pixel_values [N, C, H, W], normalised, for an image classifier: OUT gets logits\n"
              "[N, classes] and, with --hidden-states, what each block gives, images as [N, H, W, C].\n"
              "Or input_ids [N, S] and, if not all ones and zeros, attention_mask and token_type_ids for a classifier\n"
              "of texts: hidden_states.0 are its embeddings, N what layer N-1 gives.\n\n"
              "Examples:\n"
              "  tessera forward demo --input ids.safetensors --output logits.safetensors\n"
              "  tessera forward demo --input ids.safetensors --output out.safetensors --mode decode\n"
              "      --precision full --hidden-states --json ops.json",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            app.add_option("CHECKPOINT", options->checkpoint, "A checkpoint's folder or Hugging Face name")->required();
            app.add_option("--input", options->input, "safetensors file with input_ids or pixel_values")->required();
            app.add_option("--output", options->output, "safetensors file to write")->required();
            app.add_option(
                   "--mode", options->mode,
                   "prefill: each sequence at once; decode: one token per step through the paged KV cache, up to "
                   "32 sequences at a time; reference: libtorch in fp32")
                ->capture_default_str();
            app.add_flag("--hidden-states", options->hidden_states, "Write the hidden states too");
            options->model.add(app);
            options->json.add(app, "The ops of the first step with their tensors and work");
            return [options] { return run(*options); };
          },
          .on_several_ranks = true};
}

} // namespace tessera::cli
