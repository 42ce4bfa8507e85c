#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/base/file.hpp"
#include "tessera/tokenizer/stream_decoder.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

// Every published tokenizer of the golden data: ids with and without special tokens, and the text back, all at once and
// streamed. The files' origin stands in golden/README.md.

namespace tessera::tokenizer {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() {
  const char* set = std::getenv("TESSERA_GOLDEN");
  return set != nullptr ? fs::path(set) : fs::path(TESSERA_SOURCE_DIR) / "../shared/golden";
}

// gzread passes plain files through unchanged.
std::string read_maybe_gzipped(const fs::path& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  std::string text;
  std::vector<char> buffer(1 << 20);
  for (int n = 0; (n = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()))) != 0;) {
    if (n < 0) throw std::runtime_error("cannot unpack " + path.string());
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

std::optional<Tokenizer> tokenizer_in(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.json.gz"}) {
    if (fs::exists(folder / name)) return Tokenizer::parse(read_maybe_gzipped(folder / name), (folder / name).string());
  }
  return std::nullopt;
}

void expect_cases_equal(const Tokenizer& tokenizer, const fs::path& cases_file) {
  const auto cases = nlohmann::json::parse(base::read_file(cases_file));
  ASSERT_GT(cases.size(), 100u) << cases_file;
  for (const auto& item : cases) {
    const auto text = item.at("text").get<std::string>();
    const auto ids = item.at("ids").get<std::vector<std::int32_t>>();
    const auto decoded = item.at("decoded").get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, false), ids) << text;
    EXPECT_EQ(tokenizer.encode(text, true), item.at("ids_special").get<std::vector<std::int32_t>>()) << text;
    EXPECT_EQ(tokenizer.decode(ids), decoded) << text;
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const std::int32_t id : ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.finish(), decoded) << text;
  }
}

TEST(GoldenTokenizers, EncodeAndDecodeEveryCaseOfEveryFolder) {
  const fs::path root = golden_folder() / "tokenizers";
  if (!fs::is_directory(root)) GTEST_SKIP() << "no golden data at " << root;
  int compared = 0;
  int without_tokenizer = 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    const fs::path cases = entry.path() / "cases.json";
    if (!fs::exists(cases)) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const auto tokenizer = tokenizer_in(entry.path());
    if (!tokenizer) {
      ++without_tokenizer;
      continue;
    }
    expect_cases_equal(*tokenizer, cases);
    ++compared;
  }
  RecordProperty("folders_compared", compared);
  RecordProperty("folders_without_tokenizer", without_tokenizer);
  EXPECT_GE(compared, 1);
}

TEST(GoldenTokenizers, EncodeAndDecodeTheStoriesCases) {
  const fs::path folder = golden_folder() / "stories260K";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no golden data at " << folder;
  expect_cases_equal(Tokenizer::load(folder), folder / "tokenizer_cases.json");
}

} // namespace
} // namespace tessera::tokenizer
