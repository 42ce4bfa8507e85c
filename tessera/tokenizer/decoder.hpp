#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// One step from tokens back to text, as a stream: tokens go in one by one, and tokens come out as soon as they are
/// certain. A step keeps state, so each stream works on its own copy.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual std::unique_ptr<DecoderStep> clone() const = 0;
  /// Takes a token and appends what is certain now to `out`.
  virtual void push(std::string token, std::vector<std::string>& out) = 0;
  /// No more tokens: appends what was held back to `out`.
  virtual void finish(std::vector<std::string>& out) { (void)out; }
};

/// The decoder of a tokenizer.json as a chain of steps. The text is all that comes out, joined; it does not depend on
/// where the stream is looked at.
class Decoder {
 public:
  /// Known: Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, WordPiece. A null node joins tokens by
  /// a space, as Hugging Face does. Throws Unsupported for others, InvalidArgument for wrong fields.
  explicit Decoder(const JsonNode& node);

  Decoder(const Decoder& other);
  Decoder& operator=(const Decoder&) = delete;

  std::string push(std::string token);
  std::string finish();

 private:
  std::string run(std::vector<std::string> tokens, std::size_t from);

  std::vector<std::unique_ptr<DecoderStep>> steps_;
};

} // namespace tessera::tokenizer
