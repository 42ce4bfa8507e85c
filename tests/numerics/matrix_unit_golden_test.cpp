// The matrix unit against golden/numerics, bit for bit.

#include <array>
#include <map>
#include <utility>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/matrix_unit.hpp"
#include "tessera/numerics/tile_codec.hpp"
#include "tests/numerics/golden_numerics.hpp"

namespace tessera::numerics {
namespace {

using Tile = std::array<std::uint32_t, kTileElements>;

const std::map<std::string, DataType> kFormats{{"bf16", DataType::BFLOAT16},
                                               {"fp32", DataType::FLOAT32},
                                               {"bfp8", DataType::BFLOAT8_B},
                                               {"bfp4", DataType::BFLOAT4_B},
                                               {"bfp2", DataType::BFLOAT2_B}};
const std::map<std::string, MathFidelity> kFidelities{{"LoFi", MathFidelity::LoFi},
                                                      {"HiFi2", MathFidelity::HiFi2},
                                                      {"HiFi3", MathFidelity::HiFi3},
                                                      {"HiFi4", MathFidelity::HiFi4}};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

class UnitGolden : public GoldenNumerics {
 protected:
  using GoldenNumerics::GoldenNumerics;

  /// The tiles of an operand as the unpacker puts them into a source register.
  std::vector<Tile> source(const MatrixUnit& unit, const std::string& name, DataType dtype) {
    const auto size = static_cast<std::size_t>(tile_bytes(dtype));
    const std::span<const std::byte> data = bytes(name + ".tiles");
    std::vector<Tile> tiles(data.size() / size);
    for (std::size_t t = 0; t < tiles.size(); ++t) {
      const std::byte* const tile = data.data() + t * size;
      if (dtype == DataType::FLOAT32) {
        std::array<float, kTileElements> values{};
        unpack_tile(dtype, tile, values.data(), kTileWidth);
        for (std::size_t i = 0; i < values.size(); ++i) tiles[t][i] = unit.to_source(values[i]);
      } else {
        std::array<std::uint16_t, kTileElements> patterns{};
        device_unpack_tile(dtype, tile, patterns);
        for (std::size_t i = 0; i < patterns.size(); ++i) tiles[t][i] = static_cast<std::uint32_t>(patterns[i]) << 16;
      }
    }
    return tiles;
  }

  /// Compares Dst with a tensor of either width.
  void expect_dst(std::span<const std::uint32_t> dst, const MatrixUnit& unit, const std::string& name) {
    std::vector<std::uint32_t> expected;
    if (unit.dst == DstFormat::FLOAT32) {
      expected = values<std::uint32_t>(name);
    } else {
      for (const std::uint16_t bits : values<std::uint16_t>(name))
        expected.push_back(static_cast<std::uint32_t>(bits) << 16);
    }
    ASSERT_EQ(dst.size(), expected.size()) << name;
    std::size_t differences = 0;
    for (std::size_t i = 0; i < dst.size(); ++i) differences += dst[i] != expected[i] ? 1 : 0;
    EXPECT_EQ(differences, 0U) << "values differ in " << name;
  }

  /// in0 @ in1 of one case against `expected`.
  void expect_matmul(const MatrixUnit& unit, MathFidelity fidelity, const std::string& name, DataType a, DataType b,
                     const std::string& expected) {
    const std::vector<Tile> in0 = source(unit, name + ".a", a);
    const std::vector<Tile> in1 = source(unit, name + ".b", b);
    ASSERT_EQ(in0.size(), in1.size()); // one tile of output
    Tile dst{};
    for (std::size_t k = 0; k < in0.size(); ++k) matmul_tile(unit, fidelity, in0[k], in1[k], dst);
    expect_dst(dst, unit, expected);
  }

  static std::vector<MatrixUnit> units() { return {{.dst = DstFormat::FLOAT32}, {.dst = DstFormat::BFLOAT16}}; }
  static std::string dst_name(const MatrixUnit& unit) {
    return unit.dst == DstFormat::FLOAT32 ? ".dst_fp32" : ".dst_bf16";
  }
};

class MatmulGolden : public UnitGolden {
 protected:
  MatmulGolden() : UnitGolden("matmul") {}
};

TEST_F(MatmulGolden, EveryCaseIsEqual) {
  const std::vector<std::string> cases = names_before(".a.tiles");
  ASSERT_FALSE(cases.empty());
  for (const std::string& name : cases) {
    const std::vector<std::string> formats = split(split(name, '.')[2], '_');
    for (const MatrixUnit& unit : units()) {
      for (const auto& [fidelity_name, fidelity] : kFidelities) {
        expect_matmul(unit, fidelity, name, kFormats.at(formats[0]), kFormats.at(formats[1]),
                      name + "." + fidelity_name + dst_name(unit));
      }
    }
  }
}

class CancellationFaultGolden : public UnitGolden {
 protected:
  CancellationFaultGolden() : UnitGolden("matmul_whbug") {}
};

TEST_F(CancellationFaultGolden, IsTheOneOfWormholeAndCanBeTurnedOff) {
  const std::vector<std::string> cases = names_before(".a.tiles");
  ASSERT_FALSE(cases.empty());
  for (const std::string& name : cases) {
    const auto format = [&](const std::string& operand) {
      const std::size_t tiles = bytes(name + operand + ".val").size() / 4 / kTileElements;
      const std::size_t size = bytes(name + operand + ".tiles").size() / tiles;
      for (const auto& [text, dtype] : kFormats) {
        if (static_cast<std::size_t>(tile_bytes(dtype)) == size) return dtype;
      }
      ADD_FAILURE() << name;
      return DataType::BFLOAT16;
    };
    for (const auto& [fidelity_name, fidelity] : kFidelities) {
      for (const bool fault : {true, false}) {
        expect_matmul({.dst = DstFormat::FLOAT32, .cancellation_fault = fault}, fidelity, name, format(".a"),
                      format(".b"), name + "." + fidelity_name + (fault ? ".dst_fp32" : ".dst_fp32_nobug"));
      }
    }
  }
}

class EltwiseGolden : public UnitGolden {
 protected:
  EltwiseGolden() : UnitGolden("eltwise") {}
};

TEST_F(EltwiseGolden, EveryCaseIsEqual) {
  const std::vector<std::string> cases = names_before(".a.tiles");
  ASSERT_FALSE(cases.empty());
  for (const std::string& name : cases) {
    const std::vector<std::string> formats = split(split(name, '.')[1], '_');
    for (const MatrixUnit& unit : units()) {
      const Tile a = source(unit, name + ".a", kFormats.at(formats[0])).at(0);
      const Tile b = source(unit, name + ".b", kFormats.at(formats[1])).at(0);
      for (const auto& [fidelity_name, fidelity] : kFidelities) {
        Tile product{};
        for (int phase = 0; phase < fidelity_phases(fidelity); ++phase) {
          for (std::size_t i = 0; i < a.size(); ++i) product[i] = unit.multiply(phase, a[i], b[i], product[i]);
        }
        expect_dst(product, unit, name + ".mul." + fidelity_name + dst_name(unit));
      }
      Tile sum{};
      Tile difference{};
      for (std::size_t i = 0; i < a.size(); ++i) {
        sum[i] = unit.add(a[i], b[i], 0);
        difference[i] = unit.add(a[i], b[i] ^ 0x80000000, 0);
      }
      expect_dst(sum, unit, name + ".add" + dst_name(unit));
      expect_dst(difference, unit, name + ".sub" + dst_name(unit));
    }
  }
}

class ReduceGolden : public UnitGolden {
 protected:
  ReduceGolden() : UnitGolden("reduce") {}
};

TEST_F(ReduceGolden, EveryCaseIsEqual) {
  const std::vector<std::string> cases = names_before(".a.tiles");
  ASSERT_FALSE(cases.empty());
  for (const std::string& name : cases) {
    const DataType dtype = kFormats.at(split(name, '.')[1]);
    for (const MatrixUnit& unit : units()) {
      const Tile data = source(unit, name + ".a", dtype).at(0);
      for (const auto& [fidelity_name, fidelity] : kFidelities) {
        for (const auto& [kind, scaler] : {std::pair{".sum.", 1.0F}, std::pair{".mean32.", 1.0F / 32}}) {
          std::array<std::uint32_t, kTileWidth> dst{};
          reduce_rows_sum(unit, fidelity, data, unit.to_source(scaler), dst);
          expect_dst(dst, unit, name + kind + fidelity_name + dst_name(unit));
        }
      }
    }
    const MatrixUnit unit{.dst = DstFormat::BFLOAT16};
    const Tile data = source(unit, name + ".a", dtype).at(0);
    std::array<std::uint32_t, kTileWidth> dst{};
    for (std::size_t i = 0; i < data.size(); ++i) dst[i % kTileWidth] = unit.max(data[i], dst[i % kTileWidth]);
    expect_dst(dst, unit, name + ".max.dst_bf16");
  }
}

} // namespace
} // namespace tessera::numerics
