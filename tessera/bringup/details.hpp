#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/bringup/reference.hpp"

namespace tessera::bringup {

/// A token, and what both models say comes after it.
struct TokenDetail {
  std::int32_t id = 0;
  std::optional<std::string> text{}; ///< its part of the sequence's text; none without a tokenizer
  bool judged = false;               ///< the reference's logits are known here; else the figures below mean nothing
  double kl_divergence = 0.0;        ///< KL(reference || device) of the next token, nats
  bool top1_hit = false;             ///< both models put the same token first
  std::int32_t expected = 0;         ///< the reference's best next token
  std::int32_t actual = 0;           ///< the device's
  std::string expected_text{};
  std::string actual_text{};
};

/// A sequence that both models were fed, token by token.
struct TokenSequence {
  std::string name; ///< "text 0"
  std::vector<TokenDetail> tokens;
};

/// How both models go on from a prompt.
struct GenerationDetail {
  std::size_t number = 0; ///< among the material's prompts
  Ids prompt;
  Ids reference;
  Ids device;
  std::string prompt_text{}; ///< without a tokenizer this is empty, and the lists below have no elements
  std::vector<std::string> reference_texts{};
  std::vector<std::string> device_texts{};
};

/// What stages find beside their rows; what no stage has found is nothing.
struct RunDetails {
  std::optional<std::vector<TokenSequence>> tokens;
  std::optional<std::vector<GenerationDetail>> generations;
};

/// The text that each token adds to the text of those before it: together the text of all. A character whose bytes
/// several tokens bring is the last one's; the others add none. `decode` gives the text of some ids, with U+FFFD for
/// bytes that are no character; without it there are no texts.
std::vector<std::string> token_texts(const std::function<std::string(std::span<const std::int32_t>)>& decode,
                                     std::span<const std::int32_t> ids);

/// tokens.json and generations.json in `folder`, of those that are known; each names the report's key. Throws IoError.
void write_details(const RunDetails& details, const std::string& key, const std::filesystem::path& folder);

/// The inverses. Throw InvalidArgument when the JSON was not made by `write_details`.
std::vector<TokenSequence> tokens_from_json(const nlohmann::json& json);
std::vector<GenerationDetail> generations_from_json(const nlohmann::json& json);

} // namespace tessera::bringup
