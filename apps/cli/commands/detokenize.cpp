#include <limits>
#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/tokenizer_path.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {
namespace {

std::int32_t id_of(const nlohmann::json& value, std::size_t entry) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  const bool fits = value.is_number_integer() && value >= 0 && value <= kMax;
  base::require(fits, "[detokenize] entry {} must hold token ids, integers in 0..{}; received {}", entry, kMax,
                checkpoint::printable_json(value));
  return value.get<std::int32_t>();
}

int run(const std::string& path) {
  const tokenizer::Tokenizer tokenizer = load_tokenizer(path);
  const nlohmann::json arrays = checkpoint::parse_json(read_standard_input(), "standard input");
  base::require(arrays.is_array(), "[detokenize] standard input must be a JSON array of id arrays; received {}",
                checkpoint::printable_json(arrays));
  nlohmann::json texts = nlohmann::json::array();
  for (const nlohmann::json& array : arrays) {
    base::require(array.is_array(), "[detokenize] entry {} must be an array of ids; received {}", texts.size(),
                  checkpoint::printable_json(array));
    std::vector<std::int32_t> ids;
    for (const nlohmann::json& value : array) ids.push_back(id_of(value, texts.size()));
    texts.push_back(tokenizer.decode(ids));
  }
  write_standard_output(texts.dump() + "\n");
  return 0;
}

} // namespace

Command detokenize_command() {
  return {.name = "detokenize",
          .summary =
              "Token ids to texts: a JSON array of id arrays on standard input becomes a JSON array of strings. "
              "Special tokens are kept, spaces come as they are",
          .examples =
              "Examples:\n"
              "  echo '[[1, 72, 101]]' | tessera detokenize demo\n"
              "  tessera tokenize demo < texts.json | tessera detokenize demo",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto path = std::make_shared<std::string>();
            app.add_option("DIR_OR_TOKENIZER_JSON", *path, "A checkpoint or a tokenizer.json")->required();
            return [path] { return run(*path); };
          }};
}

} // namespace tessera::cli
