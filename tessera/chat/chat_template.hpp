#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tessera/chat/template.hpp"

namespace tessera::chat {

/// A turn of a conversation.
struct Message {
  std::string role; ///< "system", "user", "assistant"
  std::string content;
};

/// A checkpoint's own way of writing a conversation as text, special tokens included.
class ChatTemplate {
 public:
  /// Of a checkpoint's folder: chat_template.jinja, else the chat_template of tokenizer_config.json (of several, the
  /// one named "default"), with the special tokens that the configuration names. Nothing for a checkpoint without one.
  /// Throws IoError for files that cannot be read, InvalidArgument and Unsupported as Template::parse.
  static std::optional<ChatTemplate> of_checkpoint(const std::filesystem::path& folder);
  /// From the text of a template, with `variables` (a dict: bos_token, ...) in scope.
  static ChatTemplate parse(std::string_view source, Value variables);

  /// The conversation as text; with `add_generation_prompt` up to where the assistant goes on. It is to be tokenized
  /// without the tokenizer's own special tokens. Throws as Template::render.
  std::string apply(const std::vector<Message>& messages, bool add_generation_prompt) const;

 private:
  ChatTemplate(Template text, Value variables) : template_(std::move(text)), variables_(std::move(variables)) {}

  Template template_;
  Value variables_;
};

} // namespace tessera::chat
