// Every tensor of golden/numerics/formats.safetensors, bit for bit. Its README says where the numbers come from.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/tile_codec.hpp"

namespace tessera::numerics {
namespace {

using checkpoint::SafeTensors;

std::filesystem::path golden_file() {
  const char* folder = std::getenv("TESSERA_GOLDEN");
  const std::filesystem::path root = folder != nullptr ? folder : TESSERA_SOURCE_DIR "/../shared/golden";
  return root / "numerics/formats.safetensors";
}

struct Format {
  std::string name;
  DataType dtype;
};
const std::vector<Format> kBlockFormats = {
    {"bfp8", DataType::BFLOAT8_B}, {"bfp4", DataType::BFLOAT4_B}, {"bfp2", DataType::BFLOAT2_B}};

class FormatsGolden : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(golden_file())) GTEST_SKIP() << golden_file() << " is absent";
    file_.emplace(SafeTensors::open(golden_file()));
    for (const std::string& name : file_->names()) {
      if (name.ends_with(".in")) distributions_.push_back(name.substr(0, name.size() - 3));
    }
    ASSERT_EQ(distributions_.size(), 11U);
  }

  std::span<const std::byte> bytes(const std::string& name) {
    used_.insert(name);
    return file_->at(name).data;
  }
  std::vector<float> floats(const std::string& name) {
    const std::span<const std::byte> data = bytes(name);
    std::vector<float> values(data.size() / 4);
    std::memcpy(values.data(), data.data(), data.size());
    return values;
  }
  bool has(const std::string& name) const { return file_->contains(name); }

  std::optional<SafeTensors> file_;
  std::vector<std::string> distributions_;
  std::set<std::string> used_;
};

std::vector<std::byte> as_bytes(const std::vector<float>& values) {
  const auto view = std::as_bytes(std::span(values));
  return {view.begin(), view.end()};
}

void expect_same(std::span<const std::byte> actual, std::span<const std::byte> expected, const std::string& name) {
  ASSERT_EQ(actual.size(), expected.size()) << name;
  std::size_t differences = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) differences += actual[i] != expected[i] ? 1 : 0;
  EXPECT_EQ(differences, 0U) << "bytes differ in " << name;
}

std::vector<std::byte> pack_all(const std::vector<float>& in, DataType dtype) {
  const auto size = static_cast<std::size_t>(tile_bytes(dtype));
  std::vector<std::byte> tiles(in.size() / kTileElements * size);
  for (std::size_t t = 0; t < in.size() / kTileElements; ++t) {
    pack_tile(dtype, in.data() + t * kTileElements, kTileWidth, tiles.data() + t * size);
  }
  return tiles;
}

std::vector<float> unpack_all(std::span<const std::byte> tiles, DataType dtype) {
  const auto size = static_cast<std::size_t>(tile_bytes(dtype));
  std::vector<float> out(tiles.size() / size * kTileElements);
  for (std::size_t t = 0; t < tiles.size() / size; ++t) {
    unpack_tile(dtype, tiles.data() + t * size, out.data() + t * kTileElements, kTileWidth);
  }
  return out;
}

std::vector<float> src_all(std::span<const std::byte> tiles, DataType dtype) {
  const auto size = static_cast<std::size_t>(tile_bytes(dtype));
  std::vector<float> out;
  for (std::size_t t = 0; t < tiles.size() / size; ++t) {
    std::array<std::uint16_t, kTileElements> src{};
    device_unpack_tile(dtype, tiles.data() + t * size, src);
    for (const std::uint16_t pattern : src) out.push_back(from_bfloat16(pattern));
  }
  return out;
}

template <typename Dst>
std::vector<std::byte> device_pack_all(const std::vector<Dst>& dst, DataType dtype, PackMode mode) {
  const auto size = static_cast<std::size_t>(tile_bytes(dtype));
  std::vector<std::byte> tiles(dst.size() / kTileElements * size);
  for (std::size_t t = 0; t < dst.size() / kTileElements; ++t) {
    const std::span<const Dst, kTileElements> one(dst.data() + t * kTileElements, kTileElements);
    device_pack_tile(one, dtype, mode, tiles.data() + t * size);
  }
  return tiles;
}

std::vector<std::uint16_t> to_bfloat16_all(const std::vector<float>& in) {
  std::vector<std::uint16_t> out;
  for (const float value : in) out.push_back(to_bfloat16(value));
  return out;
}

/// Dst patterns as the bytes of a BF16 tensor.
std::vector<std::byte> as_bytes(const std::vector<std::uint16_t>& values) {
  const auto view = std::as_bytes(std::span(values));
  return {view.begin(), view.end()};
}

TEST_F(FormatsGolden, EveryTensorIsReproduced) {
  for (const std::string& d : distributions_) {
    const std::vector<float> in = floats(d + ".in");
    const std::vector<std::uint16_t> in_bf16 = to_bfloat16_all(in);
    expect_same(as_bytes(in_bf16), bytes(d + ".host.bf16"), d + ".host.bf16");

    for (const Format& format : kBlockFormats) {
      const std::string host = d + ".host." + format.name;
      const std::span<const std::byte> tiles = bytes(host + ".tiles");
      expect_same(pack_all(in, format.dtype), tiles, host + ".tiles");
      expect_same(as_bytes(unpack_all(tiles, format.dtype)), bytes(host + ".unpacked"), host + ".unpacked");
      const std::string src = d + ".device.unpack_src." + format.name;
      expect_same(as_bytes(src_all(tiles, format.dtype)), bytes(src), src);
    }

    std::vector<Format> outputs = kBlockFormats;
    outputs.push_back({"bf16", DataType::BFLOAT16});
    outputs.push_back({"fp32", DataType::FLOAT32});
    for (const Format& out : outputs) {
      for (const PackMode mode : {PackMode::Default, PackMode::Precise}) {
        const std::string tag = out.name + (mode == PackMode::Precise ? "_precise" : "");
        const std::string from_fp32 = d + ".device.pack.dst_fp32." + tag;
        if (has(from_fp32)) expect_same(device_pack_all(in, out.dtype, mode), bytes(from_fp32), from_fp32);
        const std::string from_bf16 = d + ".device.pack.dst_bf16." + tag;
        if (has(from_bf16)) expect_same(device_pack_all(in_bf16, out.dtype, mode), bytes(from_bf16), from_bf16);
      }
    }
  }
  for (const Format& format : kBlockFormats) {
    const std::string name = "unpack.randombytes." + format.name;
    expect_same(as_bytes(src_all(bytes(name + ".tile"), format.dtype)), bytes(name + ".src"), name);
  }
  for (const std::string& name : file_->names()) EXPECT_TRUE(used_.contains(name)) << name << " was not compared";
}

} // namespace
} // namespace tessera::numerics
