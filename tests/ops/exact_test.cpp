// Ops in exact numerics: against compositions of the scalar units, and against native numerics, which they must be
// near.

#include "tessera/metrics/comparison.hpp"
#include "tessera/numerics/matrix_unit.hpp"
#include "tessera/numerics/packer.hpp"
#include "tessera/numerics/sfpu.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/conv/conv2d.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/kv_cache/paged_cache.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/matmul/matmul_units.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"
#include "tessera/ops/normalization/distributed_norm.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"
#include "tessera/ops/pool/pool2d.hpp"
#include "tessera/ops/pool/upsample.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

using numerics::DstFormat;
using Words = std::vector<std::uint32_t>;

std::shared_ptr<runtime::MeshDevice> open_exact(int threads = 2, const std::string& board_name = "n150") {
  return runtime::MeshDevice::open(
      {.board = board(board_name), .numerics = runtime::Numerics::EXACT, .threads = threads});
}

/// A matrix in tiles of 32x32 words, [tile row][tile column], padded with zeros.
class Tiles {
 public:
  explicit Tiles(const HostTensor& values)
      : columns_(div_up(values.shape[-1], kTileWidth)),
        tiles_(static_cast<std::size_t>(div_up(values.shape[-2], kTileHeight) * columns_), Words(kTileElements, 0)) {
    for (std::int64_t row = 0; row < values.shape[-2]; ++row) {
      for (std::int64_t column = 0; column < values.shape[-1]; ++column) {
        at(row / kTileHeight, column / kTileWidth)[static_cast<std::size_t>(row % 32 * 32 + column % 32)] =
            std::bit_cast<std::uint32_t>(values.row(row)[static_cast<std::size_t>(column)]);
      }
    }
  }
  Words& at(std::int64_t row, std::int64_t column) { return tiles_[static_cast<std::size_t>(row * columns_ + column)]; }
  std::int64_t columns() const { return columns_; }

 private:
  std::int64_t columns_;
  std::vector<Words> tiles_;
};

/// What packing a tile of Dst and unpacking it again gives.
Words packed(DstFormat dst, DataType dtype, const Words& tile) {
  Words result(tile.size());
  numerics::pack_values(dst, dtype, numerics::PackMode::Default, tile, result);
  return result;
}
Words sourced(const numerics::MatrixUnit& unit, Words tile) {
  for (std::uint32_t& word : tile) word = unit.to_source(std::bit_cast<float>(word));
  return tile;
}
void multiply_tile(const numerics::MatrixUnit& unit, MathFidelity fidelity, const Words& a, const Words& b,
                   Words& dst) {
  using Tile = std::span<const std::uint32_t, kTileElements>;
  numerics::matmul_tile(unit, fidelity, Tile(sourced(unit, a)), Tile(sourced(unit, b)),
                        std::span<std::uint32_t, kTileElements>(dst));
}

/// One tile of a product as TT-NN's kernel makes it, written out: blocks of the depth, partial sums through L1.
Words matmul_oracle(Tiles& a, Tiles& w, std::int64_t row, std::int64_t column, std::int64_t block,
                    const ComputeConfig& compute, DataType output) {
  const numerics::MatrixUnit unit{.dst = compute.fp32_dest_acc_en ? DstFormat::FLOAT32 : DstFormat::BFLOAT16};
  const std::int64_t blocks = a.columns() / block;
  const bool accumulates = compute.packer_l1_acc && blocks > 2;
  const DataType between = compute.fp32_dest_acc_en ? DataType::FLOAT32 : accumulates ? DataType::BFLOAT16 : output;
  Words partial;
  for (std::int64_t b = 0; b < blocks; ++b) {
    Words dst(kTileElements, 0);
    const bool last = b + 1 == blocks;
    if (b > 0 && (last || !accumulates)) dst = sourced(unit, partial);
    for (std::int64_t k = b * block; k < (b + 1) * block; ++k)
      multiply_tile(unit, compute.math_fidelity, a.at(row, k), w.at(k, column), dst);
    if (last) return packed(unit.dst, output, dst);
    const Words now = packed(unit.dst, between, dst);
    if (b == 0 || !accumulates) {
      partial = now;
      continue;
    }
    for (std::size_t i = 0; i < now.size(); ++i)
      partial[i] = between == DataType::FLOAT32
                       ? numerics::l1_accumulate_float32(partial[i], now[i])
                       : std::uint32_t{numerics::l1_accumulate_bfloat16(static_cast<std::uint16_t>(partial[i] >> 16),
                                                                        static_cast<std::uint16_t>(now[i] >> 16))}
                             << 16;
  }
  return {};
}

TEST(ExactLinear, IsTheScalarUnitsTileByTile) {
  const auto device = open_exact();
  const HostTensor a = random_values({1, 1, 40, 256}, 1);
  const HostTensor w = random_values({1, 1, 256, 96}, 2, 0.05F);
  for (const DataType weights : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    for (const auto fidelity : {MathFidelity::LoFi, MathFidelity::HiFi2, MathFidelity::HiFi3, MathFidelity::HiFi4}) {
      for (const bool wide : {false, true}) {
        for (const bool accumulate : {false, true}) {
          const ComputeConfig compute{.math_fidelity = fidelity, .fp32_dest_acc_en = wide, .packer_l1_acc = accumulate};
          const DataType activations = wide ? DataType::FLOAT32 : DataType::BFLOAT16;
          for (const DataType output : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B}) {
            const HostTensor y = to_host(linear(to_device(*device, a, activations), to_device(*device, w, weights),
                                                {.dtype = output, .compute_kernel_config = compute}));
            Tiles a_tiles(rounded(a, activations));
            Tiles w_tiles(rounded(w, weights));
            Tiles y_tiles(y);
            const std::int64_t block = matmul_block(40, 8, 3);
            ASSERT_LT(block, 8);
            for (const std::int64_t column : {0, 2}) {
              Words expected = matmul_oracle(a_tiles, w_tiles, 1, column, block, compute, output);
              std::fill(expected.begin() + 8 * kTileWidth, expected.end(), 0); // rows of the padding
              ASSERT_EQ(y_tiles.at(1, column), expected)
                  << to_string(weights) << ' ' << to_string(fidelity) << " Dst " << wide << " L1 " << accumulate;
            }
          }
        }
      }
    }
  }
}

TEST(ExactLinear, ARowHasTheSameBitsAloneAndAmongOthers) {
  const auto device = open_exact();
  const HostTensor all = random_values({1, 1, 32, 100}, 3);
  const Tensor w = to_device(*device, random_values({1, 1, 100, 70}, 4), DataType::BFLOAT8_B);
  const HostTensor together = to_host(linear(to_device(*device, all, DataType::BFLOAT16), w, {}));
  for (const std::int64_t row : {0, 5, 31}) {
    const HostTensor one{{1, 1, 1, 100}, {all.row(row).begin(), all.row(row).end()}};
    const HostTensor alone = to_host(linear(to_device(*device, one, DataType::BFLOAT16), w, {}));
    EXPECT_TRUE(std::equal(alone.data.begin(), alone.data.end(), together.row(row).begin())) << row;
  }
}

TEST(ExactLinear, TruncatesActivationsAtLowFidelityWhereNativeDoesNot) {
  const auto device = open_exact();
  // 1 + 2^-7 has its last bit in the part of SrcB that only phases 2 and 3 multiply.
  const Tensor a = to_device(*device, {{1, 1, 1, 32}, std::vector<float>(32, 1.0078125F)}, DataType::BFLOAT16);
  const Tensor w = to_device(*device, {{1, 1, 32, 32}, std::vector<float>(1024, 1.0F)}, DataType::BFLOAT16);
  const auto first = [&](MathFidelity fidelity) {
    return to_host(
               linear(a, w,
                      {.dtype = DataType::FLOAT32, .compute_kernel_config = ComputeConfig{.math_fidelity = fidelity}}))
        .data[0];
  };
  EXPECT_EQ(first(MathFidelity::HiFi2), 32.0F);
  EXPECT_EQ(first(MathFidelity::HiFi4), 32.25F);
}

TEST(ExactAdd, AlignsAtTenBitsAndRoundsTiesAwayFromZero) {
  const auto device = open_exact();
  const auto add_one = [&](float x) {
    const Tensor a = to_device(*device, {{1, 1, 1, 1}, {1.0F}}, DataType::BFLOAT16);
    return to_host(add(a, to_device(*device, {{1, 1, 1, 1}, {x}}, DataType::BFLOAT16))).data[0];
  };
  EXPECT_EQ(add_one(0x1p-8F), 1.0078125F); // a tie; to even it would stay 1
  EXPECT_EQ(add_one(0x1p-9F), 1.0F);
}

/// Runs an op natively and exactly on the same values.
class ExactAndNative : public testing::TestWithParam<DataType> {
 protected:
  using Call = std::function<Tensor(runtime::MeshDevice&)>;

  static void expect_near(std::string_view op, const Call& call, double least_pcc = 0.9995) {
    const auto native = runtime::MeshDevice::open({.threads = 2});
    const auto exact = open_exact(2);
    const auto one_thread = open_exact(1);
    const HostTensor expected = to_host(call(*native));
    const Tensor result = call(*exact);
    expect_zero_padding(result);
    const HostTensor actual = to_host(result);
    const metrics::TensorComparison comparison = metrics::compare(expected.data, actual.data);
    EXPECT_GE(comparison.pcc, least_pcc) << op;
    EXPECT_LE(comparison.relative_frobenius_error, 0.03) << op;
    EXPECT_EQ(bits_of(to_host(call(*one_thread))), bits_of(actual)) << op;
  }
  static Tensor random(runtime::MeshDevice& device, const Shape& shape, std::uint32_t seed, float deviation = 1.0F) {
    return to_device(device, random_values(shape, seed, deviation), GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, ExactAndNative, testing::Values(DataType::FLOAT32, DataType::BFLOAT16),
                         test::dtype_name);

TEST_P(ExactAndNative, Norms) {
  expect_near("rms_norm", [](auto& device) {
    return rms_norm(random(device, {1, 2, 33, 100}, 1), random(device, {1, 1, 1, 100}, 2), {});
  });
  expect_near("layer_norm", [](auto& device) {
    return layer_norm(random(device, {1, 2, 33, 100}, 1),
                      {.weight = random(device, {1, 1, 1, 100}, 2), .bias = random(device, {1, 1, 1, 100}, 3)});
  });
  expect_near("layer_norm without parameters", [](auto& device) {
    return layer_norm(random(device, {1, 1, 7, 64}, 1), {});
  });
  expect_near("distributed rms_norm", [](auto& device) {
    const Tensor x = random(device, {1, 1, 33, 64}, 1);
    return rms_norm_post_all_gather(x, rms_norm_pre_all_gather(x), random(device, {1, 1, 1, 64}, 2), {});
  });
  expect_near("distributed layer_norm", [](auto& device) {
    const Tensor x = random(device, {1, 1, 33, 64}, 1);
    return layer_norm_post_all_gather(x, layer_norm_pre_all_gather(x), random(device, {1, 1, 1, 64}, 2),
                                      {.bias = random(device, {1, 1, 1, 64}, 3)});
  });
}

TEST_P(ExactAndNative, ElementWise) {
  const auto x = [](auto& device) { return random(device, {1, 2, 33, 70}, 1); };
  const auto y = [](auto& device) { return random(device, {1, 2, 33, 70}, 2); };
  expect_near("add", [&](auto& device) { return add(x(device), y(device)); });
  expect_near("mul", [&](auto& device) { return mul(x(device), y(device)); });
  expect_near("silu mul",
              [&](auto& device) { return mul(x(device), y(device), {.input_tensor_a_activation = Activation::SILU}); });
  expect_near("gelu", [&](auto& device) { return gelu(x(device)); });
  expect_near("gelu by tanh", [&](auto& device) { return gelu(x(device), {.fast_and_approximate_mode = true}); });
  expect_near("mul by a number", [&](auto& device) { return mul(x(device), 0.3F); });
  expect_near("softcap", [&](auto& device) { return softcap(x(device), 2.0F); });
  expect_near("add of repeated rows", [&](auto& device) {
    return add(random(device, {1, 1, 40, 70}, 3), random(device, {1, 1, 5, 70}, 4));
  });
  expect_near(
      "to BFLOAT8_B", [&](auto& device) { return add(x(device), y(device), {.dtype = DataType::BFLOAT8_B}); }, 0.999);
}

TEST_P(ExactAndNative, Products) {
  expect_near("linear with all that it can do", [](auto& device) {
    return linear(random(device, {1, 1, 130, 100}, 1), random(device, {1, 1, 100, 70}, 2, 0.1F),
                  {.bias = random(device, {1, 1, 1, 70}, 3), .activation = Activation::GELU, .dtype = GetParam()});
  });
  expect_near(
      "experts",
      [](auto& device) {
        const Routing routing = moe_routing(random(device, {1, 1, 9, 4}, 1), 2);
        std::vector<Tensor> weights;
        for (std::uint32_t i = 0; i < 4; ++i) weights.push_back(random(device, {1, 1, 64, 40}, 2 + i, 0.1F));
        const Tensor y = grouped_linear(random(device, {1, 1, 9, 64}, 7), GroupedInput::GATHER, weights, routing,
                                        {.dtype = GetParam()});
        return moe_combine(y, routing);
      },
      0.999);
  expect_near("rotary embedding", [](auto& device) {
    return rotary_embedding_llama(random(device, {1, 3, 40, 64}, 1), random(device, {1, 1, 40, 64}, 2),
                                  random(device, {1, 1, 40, 64}, 3), false);
  });
  expect_near("rotary embedding of users", [](auto& device) {
    return rotary_embedding_llama(by_users(random(device, {1, 3, 5, 48}, 1)),
                                  by_users(random(device, {1, 3, 1, 48}, 2)),
                                  by_users(random(device, {1, 3, 1, 48}, 3)), true);
  });
}

TEST_P(ExactAndNative, Attention) {
  const auto attend = [](auto& device, const AttentionOptions& options, std::int64_t length) {
    return scaled_dot_product_attention(random(device, {1, 4, length, 40}, 1), random(device, {1, 2, length, 40}, 2),
                                        random(device, {1, 2, length, 40}, 3), options);
  };
  for (const std::int64_t length : {5, 33, 200}) {
    expect_near("causal", [&](auto& device) { return attend(device, {.scale = 0.2F}, length); });
    expect_near("to all", [&](auto& device) { return attend(device, {.scale = 0.2F, .is_causal = false}, length); });
    expect_near("windowed",
                [&](auto& device) { return attend(device, {.scale = 0.2F, .sliding_window_size = 16}, length); });
    expect_near("capped", [&](auto& device) { return attend(device, {.scale = 0.2F, .softcap = 1.0F}, length); });
  }
}

TEST_P(ExactAndNative, AttentionOfUsers) {
  for (const std::vector<std::int32_t>& positions : {std::vector<std::int32_t>{0, 31, 32}, {200, -1, 129}}) {
    expect_near("decode", [&](auto& device) {
      std::vector<std::int32_t> pages(3 * 4);
      std::iota(pages.rbegin(), pages.rend(), 0);
      return paged_scaled_dot_product_attention_decode(
          random(device, {1, 3, 8, 40}, 1), random(device, {12, 2, 64, 40}, 2), random(device, {12, 2, 64, 40}, 3),
          integers_to_device(device, {3}, positions), integers_to_device(device, {3, 4}, pages), {.scale = 0.2F});
    });
  }
}

TEST_P(ExactAndNative, Images) {
  expect_near("conv2d", [](auto& device) {
    Conv2dOptions options{.in_channels = 32,
                          .out_channels = 40,
                          .batch_size = 2,
                          .input_height = 9,
                          .input_width = 7,
                          .kernel_size = {3, 3},
                          .stride = {2, 2},
                          .padding = {1, 1},
                          .dtype = GetParam()};
    options.bias_tensor = random(device, {1, 1, 1, 40}, 3);
    options.residual = random(device, {1, 1, 2 * 5 * 4, 40}, 4);
    options.activation = Activation::RELU;
    return conv2d(random(device, {1, 1, 2 * 9 * 7, 32}, 1), random(device, {1, 1, 9 * 32, 40}, 2, 0.1F), options);
  });
  const auto pixels = [](auto& device) { return random(device, {1, 1, 2 * 9 * 7, 40}, 1); };
  const Pool2dOptions pool{.batch_size = 2,
                           .input_height = 9,
                           .input_width = 7,
                           .channels = 40,
                           .kernel_size = {3, 3},
                           .stride = {2, 2},
                           .padding = {1, 1}};
  expect_near("max_pool2d", [&](auto& device) { return max_pool2d(pixels(device), pool); });
  expect_near(
      "avg_pool2d", [&](auto& device) { return avg_pool2d(pixels(device), pool); }, 0.999);
  expect_near(
      "global_avg_pool2d", [&](auto& device) { return global_avg_pool2d(pixels(device), {.batch_size = 2}); }, 0.999);
  expect_near("upsample", [&](auto& device) {
    return upsample(
        pixels(device),
        {.batch_size = 2, .input_height = 9, .input_width = 7, .scale_factor = {2, 3}, .mode = UpsampleMode::BILINEAR});
  });
}

TEST(ExactDevice, SumsOverChipsRoundAtEachHop) {
  const auto device = open_exact(2, "t3000");
  const Tensor x = to_device(*device, {{1, 1, 32, 32}, std::vector<float>(1024, 0x1p-8F)}, DataType::BFLOAT16);
  const Tensor one = to_device(*device, {{1, 1, 32, 32}, std::vector<float>(1024, 1.0F)}, DataType::BFLOAT16);
  // 1 + 2^-8 is a tie at each of seven hops, and goes up; in fp32 the sum would be rounded once.
  const HostTensor y = to_host(all_reduce(add(x, one, {.dtype = DataType::BFLOAT16}), {}));
  EXPECT_EQ(y.data.size(), 1024U);
  EXPECT_NEAR(y.data[0], 8.0F * 1.0078125F, 0.07F);
}

TEST(Decompositions, LoopsAreNoDeeperThanAReferenceCanTell) {
  KernelBuilder k({});
  EXPECT_INVALID(k.loop(2,
                        [&](const auto&) {
                          k.loop(2,
                                 [&](const auto&) { k.loop(2, [&](const auto&) { k.loop(2, [](const auto&) {}); }); });
                        }),
                 "at most 3 loops");
}

TEST(Decompositions, AnOpWithoutOneIsRefused) {
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const Tensor x = Tensor::allocate(*device, {{32, 32}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved}, "x");
  const Operand operand{"x", x};
  EXPECT_THROW(describe(Operands(&operand, 1), {}, OpDetails{}), base::Error);
}

} // namespace
} // namespace tessera::ops
