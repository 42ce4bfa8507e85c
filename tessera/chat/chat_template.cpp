#include "tessera/chat/chat_template.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::chat {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostBytes = std::size_t{16} << 20;

ordered_json read_json(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return ordered_json::object();
  const std::string text = base::read_file(path, kMostBytes);
  ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  base::require<base::IoError>(json.is_object(), "[chat template] {} must hold a JSON object; it does not",
                               path.string());
  return json;
}

/// A token stands as its text, or as an object with its text as `content`.
std::optional<std::string> token_text(const ordered_json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string())
    return token["content"].get<std::string>();
  return std::nullopt;
}

/// bos_token and its kin.
void add_tokens(const ordered_json& config, const Value& variables) {
  for (const auto& [key, value] : config.items()) {
    if (!key.ends_with("_token") || key.starts_with("add_")) continue;
    if (const auto text = token_text(value)) variables.set(key, *text);
  }
}

std::optional<std::string> template_text(const ordered_json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const ordered_json& entry : *found) {
      if (entry.is_object() && entry.value("name", "") == "default" && entry.contains("template") &&
          entry["template"].is_string())
        return entry["template"].get<std::string>();
    }
  }
  throw base::InvalidArgument(
      "[chat template] chat_template in tokenizer_config.json must be a string, or a list with one named \"default\"; "
      "received something else");
}

} // namespace

std::optional<ChatTemplate> ChatTemplate::of_checkpoint(const std::filesystem::path& folder) {
  const ordered_json config = read_json(folder / "tokenizer_config.json");
  const std::filesystem::path file = folder / "chat_template.jinja";
  std::error_code error;
  const std::optional<std::string> text =
      std::filesystem::exists(file, error) ? base::read_file(file, kMostBytes) : template_text(config);
  if (!text) return std::nullopt;
  const Value variables{Value::Dict()};
  add_tokens(read_json(folder / "special_tokens_map.json"), variables);
  add_tokens(config, variables);
  return parse(*text, variables);
}

ChatTemplate ChatTemplate::parse(std::string_view source, Value variables) {
  return {Template::parse(source), std::move(variables)};
}

std::string ChatTemplate::apply(const std::vector<Message>& messages, bool add_generation_prompt) const {
  Value::List list;
  for (const Message& message : messages)
    list.emplace_back(Value::Dict{{"role", message.role}, {"content", message.content}});
  Value::Dict variables = variables_.dict();
  variables.emplace_back("messages", std::move(list));
  variables.emplace_back("tools", nullptr);
  variables.emplace_back("documents", nullptr);
  variables.emplace_back("add_generation_prompt", add_generation_prompt);
  return template_.render(std::move(variables));
}

} // namespace tessera::chat
