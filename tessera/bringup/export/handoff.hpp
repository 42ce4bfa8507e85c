#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/bringup/export/decoder_settings.hpp"
#include "tessera/bringup/reference.hpp"

namespace tessera::bringup {

/// The hand-off to a real card: files that the tests of TT-NN's tt_transformers read.
struct Handoff {
  std::string checkpoint; ///< for the README
  std::string model_name; ///< the reference file's, "Llama-3.2-1B-Instruct"
  std::string precision;
  DecoderSettings settings;
  Reference& reference;
  Ids text;                         ///< of the reference file; 4 ids or more
  std::vector<std::string> modules; ///< by CausalLM::module_names
  std::string text_source;
  /// Called after each file: how many are done, how many there are. May throw to stop.
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// Decode steps of a module's file.
inline constexpr std::int64_t kDecodeSteps = 10;

/// Whether something may be put in the place of `folder`: it is absent, empty or an export with nothing beside what its
/// export.json lists, and not the current folder. Throws InvalidArgument otherwise.
void check_export_folder(const std::filesystem::path& folder);

/// Writes decoder_config.json, MODEL.refpt, modules/NAME.safetensors, README.md and export.json, which lists them. The
/// folder appears whole, in the place of an earlier export, or not at all. Returns export.json's content. Throws as
/// check_export_folder, InvalidArgument for a text that is too short, modules that the reference does not know
/// and logits of it that are not finite, IoError, and what the reference throws.
nlohmann::json write_handoff(const Handoff& handoff, const std::filesystem::path& folder);

} // namespace tessera::bringup
