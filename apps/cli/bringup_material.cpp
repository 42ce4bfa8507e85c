#include "apps/cli/bringup_material.hpp"

#include <algorithm>
#include <filesystem>
#include <random>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::cli {
namespace {

using bringup::Ids;

constexpr std::size_t kMaxTextBytes = 64 << 20;
constexpr std::size_t kPromptIds = 16;  // of a prompt taken from the text
constexpr std::size_t kRandomIds = 192; // of each random text: more than one page of the KV cache, whole tiles
constexpr int kRandomTexts = 4;

/// The beginning of "A Tale of Two Cities" (Charles Dickens, 1859; in the public domain), the book that the vendor's
/// accuracy tests read.
constexpr const char* kBuiltInText =
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    "Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing "
    "before us, we were all going direct to Heaven, we were all going direct the other way--in short, the period was "
    "so far like the present period, that some of its noisiest authorities insisted on its being received, for good "
    "or for evil, in the superlative degree of comparison only.\n\n"
    "There were a king with a large jaw and a queen with a plain face, on the throne of England; there were a king "
    "with a large jaw and a queen with a fair face, on the throne of France. In both countries it was clearer than "
    "crystal to the lords of the State preserves of loaves and fishes, that things in general were settled for ever.\n";

void check_ids(const Ids& ids, std::int64_t vocab_size, const std::string& what) {
  base::require(!ids.empty(), "[bringup] {} must hold at least one token; received none", what);
  const auto largest = *std::max_element(ids.begin(), ids.end());
  base::require(
      largest < vocab_size,
      "[bringup] token ids must be below the vocabulary's {}; {} gives {}; does the tokenizer belong to this model?",
      vocab_size, what, largest);
}

MaterialChoice random_material(const MaterialRequest& request) {
  base::require(request.prompts.empty() && request.text_file.empty(),
                "[bringup] --prompt and --text need a tokenizer; the checkpoint has no tokenizer.json; leave them out "
                "to run on random ids");
  std::mt19937_64 random(1);
  MaterialChoice choice{.text_source = "random ids (no tokenizer)", .prompt_source = "random ids (no tokenizer)"};
  const auto length = std::min(kRandomIds, static_cast<std::size_t>(request.sequence_length));
  for (int text = 0; text < kRandomTexts; ++text) {
    Ids ids(length);
    for (std::int32_t& id : ids)
      id = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(request.vocab_size));
    choice.material.prompts.emplace_back(ids.begin(),
                                         ids.begin() + static_cast<std::ptrdiff_t>(std::min(kPromptIds, length)));
    choice.material.texts.push_back(std::move(ids));
  }
  return choice;
}

} // namespace

std::optional<tokenizer::Tokenizer> find_tokenizer(const checkpoint::Checkpoint& checkpoint) {
  std::error_code error;
  if (!std::filesystem::exists(checkpoint.folder() / "tokenizer.json", error)) return std::nullopt;
  return tokenizer::Tokenizer::load(checkpoint.folder());
}

MaterialChoice choose_material(const checkpoint::Checkpoint& checkpoint,
                               const std::optional<tokenizer::Tokenizer>& tokenizer, const MaterialRequest& request) {
  if (!tokenizer) return random_material(request);
  MaterialChoice choice;
  std::string text = kBuiltInText;
  choice.text_source = "the beginning of A Tale of Two Cities";
  std::error_code error;
  const std::filesystem::path beside = checkpoint.folder() / "heldout.txt";
  const std::filesystem::path file = !request.text_file.empty() ? std::filesystem::path(request.text_file) : beside;
  if (!request.text_file.empty() || std::filesystem::exists(file, error)) {
    text = base::read_file(file, kMaxTextBytes);
    choice.text_source = file.string();
  }
  const Ids ids = tokenizer->encode(text, true);
  check_ids(ids, request.vocab_size, choice.text_source);
  choice.material.texts = bringup::cut_text(ids, request.sequence_length, request.max_ids);
  base::require(!choice.material.texts.empty(), "[bringup] a text of two tokens or more is required; {} has {}",
                choice.text_source, ids.size());

  choice.prompt_source = request.prompts.empty() ? "beginnings of the text's sequences" : "the user's";
  for (const std::string& prompt : request.prompts) {
    base::require(!prompt.empty(), "[bringup] --prompt must hold some text; received none");
    choice.material.prompts.push_back(tokenizer->encode(prompt, true));
    check_ids(choice.material.prompts.back(), request.vocab_size, "--prompt");
  }
  if (request.prompts.empty()) {
    for (const Ids& sequence : choice.material.texts) {
      if (choice.material.prompts.size() == 2) break;
      choice.material.prompts.emplace_back(
          sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(std::min(kPromptIds, sequence.size())));
    }
  }
  return choice;
}

} // namespace tessera::cli
