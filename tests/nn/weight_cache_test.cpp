#include "tessera/nn/weight_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>

#include "tessera/base/file.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WeightCacheTest : public testing::Test {
 protected:
  struct Loaded {
    HostTensor logits;
    bool mapped = false;
  };

  /// Loads the model with a cache in `folder_` and waits for what the cache writes.
  Loaded load(const std::string& precision = "bfp8", std::int64_t context = 96, std::int64_t smallest = 0) {
    const auto checkpoint = checkpoint::Checkpoint::open(small.folder().path().string());
    const auto mesh = runtime::MeshDevice::open({.threads = 2});
    const auto cache = std::make_shared<WeightCache>(
        checkpoint, *mesh,
        WeightCacheOptions{.folder = folder, .variant = precision, .smallest = smallest, .note = [&](const auto& text) {
                             const std::lock_guard lock(mutex);
                             notes.push_back(text);
                           }});
    {
      const std::lock_guard lock(mutex);
      path = cache->path();
    }
    const DecoderConfig& config = small.config();
    const Precision formats = make_precision(
        precision, {.family = config.family, .layers = config.layers, .parameters = config.parameters()});
    const WeightLoader weights(*mesh, checkpoint, formats.weights_as_stored, config.stored_dtype, {}, cache);
    DecoderModel model(mesh, config, DecoderNames(), weights, {.precision = formats, .context = context});
    Loaded result{model.prefill(0, random_ids(20, 1), LogitsRows::ALL, nullptr), cache->mapped()};
    cache->wait();
    return result;
  }

  /// Changes a byte, counted from the end when negative.
  void change_byte(std::int64_t from_end_or_begin) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(from_end_or_begin, from_end_or_begin < 0 ? std::ios::end : std::ios::beg);
    const auto at = file.tellg();
    const char old = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(old ^ 0x10));
  }

  /// The cache is not used after `damage`, says why, and serves again after that.
  template <typename Damage>
  void expect_rebuilt(const Damage& damage, const std::string& reason) {
    const Loaded first = load();
    damage();
    notes.clear();
    const Loaded second = load();
    EXPECT_FALSE(second.mapped);
    EXPECT_EQ(second.logits.data, first.logits.data);
    EXPECT_THAT(notes, ElementsAre(HasSubstr(reason)));
    const Loaded third = load();
    EXPECT_TRUE(third.mapped);
    EXPECT_EQ(third.logits.data, first.logits.data);
  }

  SmallDecoder small{small_config(), checkpoint::StorageType::BF16};
  test::TemporaryFolder temporary;
  fs::path folder = temporary.path() / "cache";
  fs::path path;
  std::mutex mutex;
  std::vector<std::string> notes;
};

TEST_F(WeightCacheTest, TheSecondLoadMapsTheSameBits) {
  for (const char* precision : {"full", "bf16", "bfp8", "bfp4"}) {
    const Loaded first = load(precision);
    const Loaded second = load(precision);
    EXPECT_FALSE(first.mapped);
    EXPECT_TRUE(second.mapped);
    EXPECT_EQ(first.logits.data, second.logits.data) << precision;
  }
  EXPECT_THAT(notes, IsEmpty());
}

TEST_F(WeightCacheTest, ServesAnyContext) {
  load("bfp8", 96);
  EXPECT_TRUE(load("bfp8", 32).mapped);
}

TEST_F(WeightCacheTest, LeavesSmallModelsAlone) {
  load("bfp8", 96, std::int64_t{1} << 30);
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(WeightCacheTest, LeavesNoOtherFileBehind) {
  load();
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  EXPECT_THAT(found, ElementsAre(path));
}

TEST_F(WeightCacheTest, IsRebuiltWhenTruncated) {
  expect_rebuilt([&] { fs::resize_file(path, fs::file_size(path) - 1); }, "damaged");
  expect_rebuilt([&] { fs::resize_file(path, 20); }, "damaged");
  expect_rebuilt([&] { fs::resize_file(path, 0); }, "damaged");
}

TEST_F(WeightCacheTest, IsRebuiltWhenAByteOfItsHeaderChanged) {
  for (const std::int64_t place : {0, 9, 17, 25, 32, 100, 700}) {
    expect_rebuilt([&] { change_byte(place); }, "damaged");
  }
}

TEST_F(WeightCacheTest, IsRebuiltWhenAByteOfItsDataChanged) {
  for (const std::int64_t place : {-1, -5000, -20000}) {
    expect_rebuilt([&] { change_byte(place); }, "its data are damaged");
  }
}

TEST_F(WeightCacheTest, IsRebuiltWhenTheCheckpointChanged) {
  expect_rebuilt(
      [&] {
        const fs::path weights = small.folder().path() / "model.safetensors";
        fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(1));
      },
      "another state of the checkpoint");
}

TEST_F(WeightCacheTest, AFolderThatCannotBeWrittenIsANote) {
  std::ofstream(folder) << "a file in the folder's place";
  const Loaded first = load();
  EXPECT_FALSE(first.mapped);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("it is not kept")));
}

TEST_F(WeightCacheTest, WhatAKilledWriterLeftIsWrittenOver) {
  load();
  fs::rename(path, path.string() + ".tmp");
  EXPECT_FALSE(load().mapped);
  EXPECT_TRUE(load().mapped);
  EXPECT_FALSE(fs::exists(path.string() + ".tmp"));
}

TEST_F(WeightCacheTest, TwoLoadsAtOnceBothGiveTheSameBits) {
  const Loaded expected = load();
  fs::remove(path);
  Loaded other;
  std::thread thread([&] { other = load(); });
  const Loaded mine = load();
  thread.join();
  EXPECT_EQ(mine.logits.data, expected.logits.data);
  EXPECT_EQ(other.logits.data, expected.logits.data);
  EXPECT_TRUE(load().mapped);
}

TEST(Checksum, ChangesWithEveryBitAndWithTheOrderOfWords) {
  std::vector<std::byte> bytes(200);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  const std::uint64_t sum = checksum(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> changed = bytes;
      changed[i] ^= std::byte{1} << bit;
      ASSERT_NE(checksum(changed), sum) << i;
    }
  }
  std::vector<std::byte> swapped = bytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + 64, swapped.begin() + 64);
  EXPECT_NE(checksum(swapped), sum);
  EXPECT_NE(checksum(std::span(bytes).first(199)), sum);
}

} // namespace
} // namespace tessera::nn
