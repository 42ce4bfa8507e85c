#include "tessera/tokenizer/tokenizer.hpp"

#include <limits>
#include <unordered_map>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/tokenizer/added_tokens.hpp"
#include "tessera/tokenizer/decoder.hpp"
#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/model.hpp"
#include "tessera/tokenizer/normalizer.hpp"
#include "tessera/tokenizer/post_processor.hpp"
#include "tessera/tokenizer/pre_tokenizer.hpp"
#include "tessera/tokenizer/stream_decoder.hpp"
#include "tessera/tokenizer/utf8.hpp"
#include "tessera/tokenizer/wordpiece_files.hpp"

namespace tessera::tokenizer {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{512} << 20; // the largest published ones have 35 MB

// The ids of pieces that occur again and again. Lives for one call, so that the tokenizer itself stays immutable.
class PieceCache {
 public:
  explicit PieceCache(const Model& model) : model_(model) {}

  void encode(const std::string& piece, std::vector<std::int32_t>& out) {
    if (piece.size() > kMaxPieceBytes) {
      model_.encode(piece, out);
      return;
    }
    const auto [entry, is_new] = ids_.try_emplace(piece);
    if (is_new) model_.encode(piece, entry->second);
    out.insert(out.end(), entry->second.begin(), entry->second.end());
    if (ids_.size() > kMaxPieces) ids_.clear();
  }

 private:
  static constexpr std::size_t kMaxPieceBytes = 64; // longer ones hardly ever come twice
  static constexpr std::size_t kMaxPieces = 1 << 16;

  const Model& model_;
  std::unordered_map<std::string, std::vector<std::int32_t>> ids_;
};

[[noreturn]] void fail_without_files(const std::filesystem::path& folder) {
  std::string present;
  for (const char* other : {"tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json"}) {
    if (std::filesystem::exists(folder / other)) present += fmt::format("{}{}", present.empty() ? "" : ", ", other);
  }
  throw base::IoError(
      fmt::format("[tokenizer] a folder must hold tokenizer.json, or BERT's vocab.txt; received {} with {}; download "
                  "tokenizer.json "
                  "from the model's page, or write it with transformers: "
                  "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
                  folder.string(), present.empty() ? "no tokenizer file" : present));
}

} // namespace

struct Tokenizer::Parts {
  explicit Parts(const JsonNode& root)
      : model(make_model(root["model"])),
        normalizer(make_normalizer(root["normalizer"])),
        pre_tokenizer(make_pre_tokenizer(root["pre_tokenizer"])),
        post_processor(make_post_processor(root["post_processor"])),
        decoder(root["decoder"]),
        added(root["added_tokens"], model->vocabulary(), normalizer.get()) {
    if (post_processor == nullptr) return;
    for (const std::int32_t id : post_processor->added_ids()) {
      base::require(token(id) != nullptr,
                    "[tokenizer] {} must add ids that name a token; received {}; correct the file",
                    root["post_processor"].path(), id);
    }
  }

  const std::string* token(std::int32_t id) const {
    const std::string* found = added.vocabulary().token(id);
    return found != nullptr ? found : model->vocabulary().token(id);
  }

  void encode_text(std::string text, bool at_text_start, PieceCache& cache, std::vector<std::int32_t>& ids) const {
    std::vector<Piece> pieces;
    pieces.push_back({std::move(text), at_text_start});
    if (pre_tokenizer) pre_tokenizer->apply(pieces);
    for (const Piece& piece : pieces) cache.encode(piece.text, ids);
  }

  std::unique_ptr<Model> model;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<PostProcessor> post_processor;
  Decoder decoder; // copied for each stream, never run itself
  AddedTokens added;
};

Tokenizer Tokenizer::load(const std::filesystem::path& dir_or_json) {
  namespace fs = std::filesystem;
  const bool is_folder = fs::is_directory(dir_or_json);
  const fs::path file = is_folder ? dir_or_json / "tokenizer.json" : dir_or_json;
  if (!is_folder || fs::exists(file)) return parse(base::read_file(file, kMaxFileBytes), file.string());
  if (fs::exists(dir_or_json / "vocab.txt")) {
    const nlohmann::json document = wordpiece_document(dir_or_json);
    return Tokenizer(std::make_shared<const Parts>(JsonNode(document, dir_or_json.string() + ": ")));
  }
  fail_without_files(dir_or_json);
}

Tokenizer Tokenizer::parse(std::string_view json, std::string name) {
  const nlohmann::json document = parse_json(json, name);
  const JsonNode root(document, name + ": ");
  return Tokenizer(std::make_shared<const Parts>(root));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  return add_special_tokens ? encode_texts(text).ids : encode_plain(text);
}

Encoding Tokenizer::encode_texts(std::string_view text, std::optional<std::string_view> text_pair) const {
  std::vector<Encoding> texts;
  texts.push_back(Encoding::of(encode_plain(text), 0));
  if (text_pair) texts.push_back(Encoding::of(encode_plain(*text_pair), 1));
  if (parts_->post_processor) parts_->post_processor->apply(texts);
  return join(texts);
}

std::vector<std::int32_t> Tokenizer::encode_plain(std::string_view text) const {
  base::require(text.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) / 8,
                "[encode] a text must have at most 256 MiB; received {} bytes; encode it in parts", text.size());
  const std::size_t invalid = find_invalid_utf8(text);
  base::require(invalid == std::string_view::npos,
                "[encode] a text must be valid UTF-8; received byte 0x{:02x} at offset {}; convert the text to UTF-8",
                invalid < text.size() ? static_cast<unsigned char>(text[invalid]) : 0, invalid);

  std::vector<std::int32_t> ids;
  PieceCache cache(*parts_->model);
  const auto part_of = [](std::string_view whole, const Range& range) {
    return std::string(whole.substr(range.begin, range.end - range.begin));
  };
  for (const TokenOrText& outer : parts_->added.split_raw(text)) {
    if (outer.id >= 0) {
      ids.push_back(outer.id);
      continue;
    }
    std::string normalized = part_of(text, outer.range);
    if (parts_->normalizer) parts_->normalizer->apply(normalized);
    for (const TokenOrText& inner : parts_->added.split_normalized(normalized)) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
      } else {
        const bool at_text_start = outer.range.begin == 0 && inner.range.begin == 0;
        parts_->encode_text(part_of(normalized, inner.range), at_text_start, cache, ids);
      }
    }
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  StreamDecoder stream(*this, skip_special_tokens);
  std::string text;
  for (const std::int32_t id : ids) text += stream.push(id);
  return text += stream.finish();
}

std::size_t Tokenizer::vocab_size() const {
  return static_cast<std::size_t>(std::max(parts_->model->vocabulary().max_id(), parts_->added.vocabulary().max_id()) +
                                  1);
}

bool Tokenizer::has_id(std::int32_t id) const {
  return parts_->token(id) != nullptr;
}

bool Tokenizer::is_special(std::int32_t id) const {
  return parts_->added.is_special(id);
}

std::optional<std::int32_t> Tokenizer::token_to_id(std::string_view token) const {
  const auto id = parts_->added.vocabulary().id(token);
  return id ? id : parts_->model->vocabulary().id(token);
}

const std::string& Tokenizer::id_to_token(std::int32_t id) const {
  const std::string* token = parts_->token(id);
  base::require(token != nullptr,
                "[decode] an id must name a token, ids end at {}; received {}; use ids of this tokenizer's "
                "vocabulary",
                static_cast<std::int64_t>(vocab_size()) - 1, id);
  return *token;
}

const Decoder& Tokenizer::decoder() const {
  return parts_->decoder;
}

} // namespace tessera::tokenizer
