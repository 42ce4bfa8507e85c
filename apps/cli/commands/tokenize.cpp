#include <filesystem>
#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/tokenizer_path.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {
namespace {

struct Options {
  std::string path;
  bool special = false;
};

int run(const Options& options) {
  const tokenizer::Tokenizer tokenizer = load_tokenizer(options.path);
  const nlohmann::json texts = checkpoint::parse_json(read_standard_input(), "standard input");
  base::require(texts.is_array(), "[tokenize] standard input must be a JSON array of strings; received {}",
                checkpoint::printable_json(texts));
  nlohmann::json ids = nlohmann::json::array();
  for (const nlohmann::json& text : texts) {
    base::require(text.is_string(), "[tokenize] entry {} must be a string; received {}", ids.size(),
                  checkpoint::printable_json(text));
    ids.push_back(tokenizer.encode(text.get_ref<const std::string&>(), options.special));
  }
  write_standard_output(ids.dump() + "\n");
  return 0;
}

} // namespace

Command tokenize_command() {
  return {.name = "tokenize",
          .summary = "Texts to token ids: a JSON array of strings on standard input becomes a JSON array of id arrays",
          .examples =
              "Examples:\n"
              "  echo '[\"Alice was beginning to\"]' | tessera tokenize demo\n"
              "  echo '[\"Hello\", \"world\"]' | tessera tokenize tokenizer.json --special",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            app.add_option("DIR_OR_TOKENIZER_JSON", options->path, "A checkpoint or a tokenizer.json")->required();
            app.add_flag("--special", options->special,
                         "Add the special tokens that the tokenizer puts around a text, such as BOS");
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
