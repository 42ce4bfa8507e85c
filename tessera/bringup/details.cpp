#include "tessera/bringup/details.hpp"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tessera/bringup/run_file.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;

// Tokens before one that decide how it reads, such as by a space that the first token loses.
constexpr std::size_t kContext = 4;
// A character has at most four bytes: what is none after so many tokens never becomes one.
constexpr std::size_t kMostHeld = 16;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

json token_to_json(const TokenDetail& token) {
  json out{{"id", token.id}};
  if (token.text) out["text"] = *token.text;
  if (!token.judged) return out;
  out["kl_divergence"] = run_file::number(token.kl_divergence);
  out["top1_hit"] = token.top1_hit;
  out["expected"] = token.expected;
  out["actual"] = token.actual;
  out["expected_text"] = token.expected_text;
  out["actual_text"] = token.actual_text;
  return out;
}

TokenDetail token_from_json(const json& in) {
  TokenDetail token{.id = in.at("id"), .judged = in.contains("kl_divergence")};
  if (in.contains("text")) token.text = in["text"].get<std::string>();
  if (!token.judged) return token;
  token.kl_divergence = run_file::number_of(in.at("kl_divergence"));
  token.top1_hit = in.at("top1_hit");
  token.expected = in.at("expected");
  token.actual = in.at("actual");
  token.expected_text = in.at("expected_text");
  token.actual_text = in.at("actual_text");
  return token;
}

} // namespace

std::vector<std::string> token_texts(const std::function<std::string(std::span<const std::int32_t>)>& decode,
                                     std::span<const std::int32_t> ids) {
  if (!decode) return {};
  std::vector<std::string> texts(ids.size());
  std::vector<std::size_t> ends{0}; // of tokens after which characters are whole
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t held = ends.back();
    // A context that began within a character would read otherwise.
    const std::size_t wanted = held - std::min(held, kContext);
    const std::size_t first = *std::prev(std::ranges::upper_bound(ends, wanted));
    const std::string before = decode(ids.subspan(first, held - first));
    const std::string with = decode(ids.subspan(first, i + 1 - first));
    if (with.ends_with(kReplacement) && i + 1 < ids.size() && i + 1 - held < kMostHeld) continue;
    const bool continues = with.starts_with(before);
    texts[i] = continues ? with.substr(before.size()) : decode(ids.subspan(held, i + 1 - held));
    ends.push_back(i + 1);
  }
  return texts;
}

void write_details(const RunDetails& details, const std::string& key, const std::filesystem::path& folder) {
  if (folder.empty()) return;
  if (details.tokens) {
    json sequences = json::array();
    for (const TokenSequence& sequence : *details.tokens) {
      json tokens = json::array();
      for (const TokenDetail& token : sequence.tokens) tokens.push_back(token_to_json(token));
      sequences.push_back({{"name", sequence.name}, {"tokens", std::move(tokens)}});
    }
    run_file::write(folder / "tokens.json", key, {{"sequences", std::move(sequences)}});
  }
  if (details.generations) {
    json prompts = json::array();
    for (const GenerationDetail& one : *details.generations) {
      prompts.push_back({{"number", one.number},
                         {"prompt", one.prompt},
                         {"prompt_text", one.prompt_text},
                         {"reference", one.reference},
                         {"reference_texts", one.reference_texts},
                         {"device", one.device},
                         {"device_texts", one.device_texts}});
    }
    run_file::write(folder / "generations.json", key, {{"prompts", std::move(prompts)}});
  }
}

std::vector<TokenSequence> tokens_from_json(const json& in) {
  return run_file::converted("tokens.json", [&] {
    std::vector<TokenSequence> sequences;
    for (const json& one : in.at("sequences")) {
      sequences.push_back({.name = one.at("name"), .tokens = {}});
      for (const json& token : one.at("tokens")) sequences.back().tokens.push_back(token_from_json(token));
    }
    return sequences;
  });
}

std::vector<GenerationDetail> generations_from_json(const json& in) {
  return run_file::converted("generations.json", [&] {
    std::vector<GenerationDetail> generations;
    for (const json& one : in.at("prompts")) {
      generations.push_back({.number = one.at("number"),
                             .prompt = one.at("prompt"),
                             .reference = one.at("reference"),
                             .device = one.at("device"),
                             .prompt_text = one.at("prompt_text"),
                             .reference_texts = one.at("reference_texts"),
                             .device_texts = one.at("device_texts")});
    }
    return generations;
  });
}

} // namespace tessera::bringup
