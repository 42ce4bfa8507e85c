// Seeded mutations of valid files, through the openers that users' files go through. Each mutated file either opens,
// and then every tensor can be read, or ends in one of Tessera's errors of one line. Run under the address sanitizer,
// this also shows that no byte outside the file is touched.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>

#include "fuzz/safetensors_target.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace tessera::checkpoint {
namespace {

using nlohmann::json;

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) {
    return n == 0 ? 0 : std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }

  /// Any text: damaged bytes, a cut, a repeated or removed part, a nesting bomb.
  std::string text(std::string bytes) {
    switch (below(5)) {
      case 0:
        for (std::size_t n = 1 + below(4); n > 0; --n) bytes[below(bytes.size())] = static_cast<char>(below(256));
        return bytes;
      case 1:
        return bytes.substr(0, below(bytes.size()));
      case 2: {
        const std::string part = bytes.substr(below(bytes.size()), 1 + below(60));
        return bytes.insert(below(bytes.size()), part);
      }
      case 3:
        return bytes.erase(below(bytes.size()), 1 + below(20));
      default: {
        const char* brackets[] = {"[", "{\"a\":", "{", "[{\"b\":["};
        std::string bomb;
        const std::string bracket = brackets[below(4)];
        for (std::size_t n = below(2) == 0 ? below(100) : below(20'000); n > 0; --n) bomb += bracket;
        return bytes.insert(below(bytes.size()), bomb);
      }
    }
  }

  /// Valid JSON with values exchanged: for extreme ones, for ones of other types, or with each other.
  json values(json document) {
    for (std::size_t n = 1 + below(3); n > 0; --n) {
      std::vector<json*> places;
      collect(document, places);
      json& place = *places[below(places.size())];
      if (below(3) == 0) {
        const json other = *places[below(places.size())]; // a copy: the other may lie inside the place
        place = other;
      } else {
        place = extreme();
      }
    }
    return document;
  }

 private:
  static void collect(json& value, std::vector<json*>& places) {
    places.push_back(&value);
    if (!value.is_structured()) return;
    for (json& child : value) collect(child, places);
  }

  json extreme() {
    static const json kValues =
        json::parse(R"([null, true, false, 0, 1, -1, 2, 7, 8, 16, 24, 25, 1e300, -0.5, 2147483647,
        2147483648, 4294967296, 4611686018427387904, 9223372036854775807, -9223372036854775808, 9223372036854775808,
        18446744073709551615, "", "x", "F32", "BF16", "F16", "U64", "I64", "BOOL", "F8_E4M3", "..", "../x", "/etc/passwd",
        "s1.safetensors", "\u0000", "\n", [], {}, [0, 0], [0, 8], [8, 0], [[0]], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [4294967296, 4294967296], {"a": 1}, {"dtype": "U8", "shape": [0], "data_offsets": [24, 24]}])");
    return kValues[below(kValues.size())];
  }

  std::mt19937_64 random_;
};

/// The small file with a damaged header length or header, or other data.
std::string mutated_safetensors(Mutator& mutator) {
  static const std::string valid = test::small_safetensors();
  static const std::size_t header_size = valid.size() - 8 - 24;
  static const std::string header = valid.substr(8, header_size);
  static const std::string data = valid.substr(8 + header_size);
  switch (mutator.below(5)) {
    case 0:
      return test::safetensors_bytes(mutator.values(json::parse(header)).dump(), data);
    case 1:
      return test::safetensors_bytes(mutator.text(header), data);
    case 2:
      return mutator.text(valid);
    case 3: {
      std::string bytes = valid;
      const std::uint64_t lengths[] = {0,
                                       1,
                                       7,
                                       8,
                                       header_size - 1,
                                       header_size + 1,
                                       valid.size() - 8,
                                       valid.size() - 7,
                                       100'000'000,
                                       100'000'001,
                                       ~std::uint64_t{0},
                                       std::uint64_t{1} << 63,
                                       mutator.below(valid.size())};
      std::memcpy(bytes.data(), &lengths[mutator.below(std::size(lengths))], 8);
      return bytes;
    }
    case 4: { // any bit pattern is a value: such a file opens
      std::string bytes = data;
      for (char& byte : bytes) byte = static_cast<char>(mutator.below(256));
      return test::safetensors_bytes(header, bytes);
    }
    default: {
      std::string bytes = valid;
      for (std::size_t n = 1 + mutator.below(3); n > 0; --n) {
        bytes[mutator.below(8 + header_size)] = static_cast<char>(mutator.below(256));
      }
      return bytes;
    }
  }
}

struct Outcome {
  std::size_t opened = 0;
  std::size_t refused = 0;
};

TEST(Mutations, OfSafetensorsOpenAndReadOrEndInAnError) {
  Mutator mutator(1);
  Outcome outcome;
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = mutated_safetensors(mutator);
    // An exact copy on the heap: the sanitizer sees one byte too far.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    const auto view = std::as_bytes(std::span(exact));
    ++(fuzz::open_and_read_safetensors(view) ? outcome.opened : outcome.refused);
  }
  // Both ways are taken often: otherwise the mutations would be too wild or too tame to show anything.
  EXPECT_GT(outcome.opened, 1'000u);
  EXPECT_GT(outcome.refused, 5'000u);
}

/// Opens the folder as `open` and `open_config` do, and reads the config as a model mapping would.
bool open_folder(const std::string& folder) {
  try {
    const Checkpoint checkpoint = Checkpoint::open(folder);
    for (const std::string& name : checkpoint.tensor_names()) to_float(checkpoint.tensor(name));
    const ConfigReader reader(checkpoint.config(), folder);
    reader.strings("architectures");
    reader.integer("num_hidden_layers", {1, 1000});
    reader.number("rms_norm_eps", {0.0, 1.0});
    reader.boolean_or("tie_word_embeddings", false);
    reader.integers("eos_token_id", {0, 1'000'000});
    reader.number_or("rope_theta", 1e4, {1.0, 1e12});
    if (const auto scaling = reader.object("rope_scaling")) scaling->string("rope_type");
    return true;
  } catch (const base::Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    EXPECT_LT(std::string(error.what()).size(), 1000u);
    return false;
  }
}

/// Replaces `file` in a valid folder by `count` mutations of `valid`, opening the folder each time.
Outcome mutate_file(const test::TemporaryFolder& folder, const std::string& file, const std::string& valid,
                    std::uint64_t seed, int count) {
  Mutator mutator(seed);
  Outcome outcome;
  folder.write(file, valid);
  EXPECT_TRUE(open_folder(folder.path().string()));
  for (int i = 0; i < count; ++i) {
    folder.write(file, i % 2 == 0 ? mutator.text(valid) : mutator.values(json::parse(valid)).dump());
    ++(open_folder(folder.path().string()) ? outcome.opened : outcome.refused);
  }
  folder.write(file, valid);
  return outcome;
}

constexpr const char* kConfig = R"({"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "eos_token_id": [1, 2],
    "num_hidden_layers": 2, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0}})";

TEST(Mutations, OfConfigsOpenOrEndInAnError) {
  const test::TemporaryFolder folder;
  folder.write("model.safetensors", test::small_safetensors());
  const Outcome config = mutate_file(folder, "config.json", kConfig, 2, 2'000);
  EXPECT_GT(config.opened, 50u);
  EXPECT_GT(config.refused, 500u);
  const Outcome generation = mutate_file(folder, "generation_config.json", kConfig, 3, 1'000);
  EXPECT_GT(generation.opened, 50u);
  EXPECT_GT(generation.refused, 200u);
}

TEST(Mutations, OfIndicesAndShardsOpenOrEndInAnError) {
  const test::TemporaryFolder folder;
  folder.write("config.json", kConfig);
  folder.write("s1.safetensors", test::small_safetensors());
  folder.write("s2.safetensors",
               test::safetensors_bytes(R"({"e":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  const std::string index = R"({"metadata": {"total_size": 17}, "weight_map": {"a": "s1.safetensors",
      "b": "s1.safetensors", "e": "s2.safetensors"}})";
  const Outcome indices = mutate_file(folder, "model.safetensors.index.json", index, 4, 2'000);
  EXPECT_GT(indices.opened, 50u);
  EXPECT_GT(indices.refused, 500u);

  Mutator mutator(5);
  Outcome shards;
  for (int i = 0; i < 500; ++i) {
    folder.write("s1.safetensors", mutated_safetensors(mutator));
    ++(open_folder(folder.path().string()) ? shards.opened : shards.refused);
  }
  EXPECT_GT(shards.opened, 50u);
  EXPECT_GT(shards.refused, 250u);
}

} // namespace
} // namespace tessera::checkpoint
