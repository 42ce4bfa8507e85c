#include "tessera/tensor/transfer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::tensor {
namespace {

using test::bits_of;
using test::random_values;
using test::rounded;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<Shape> kShapes = {{1},         {5},         {40},           {1, 1},          {33, 31},
                                    {32, 32},    {3, 64, 17}, {2, 3, 33, 40}, {1, 1, 1, 2048}, {1, 1, 100, 16},
                                    {1, 4, 7, 8}};

class TransferTest : public testing::Test {
 protected:
  std::shared_ptr<runtime::MeshDevice> device = runtime::MeshDevice::open({.threads = 2});

  Tensor upload(const HostTensor& values, DataType dtype, Layout layout,
                const MemoryConfig& place = kDramInterleaved) const {
    return from_host(*device, rows_of(values), {values.shape, dtype, layout, place}, "test");
  }
};

class TransferOfFormat : public TransferTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, TransferOfFormat,
                         testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B,
                                         DataType::BFLOAT4_B, DataType::BFLOAT2_B),
                         test::dtype_name);

TEST_P(TransferOfFormat, RoundsTilesAsNumericsDoesBitForBit) {
  for (std::size_t i = 0; i < kShapes.size(); ++i) {
    const HostTensor values = random_values(kShapes[i], static_cast<std::uint32_t>(i));
    for (const MemoryConfig& place : {kDramInterleaved, kL1Interleaved}) {
      const HostTensor back = to_host(upload(values, GetParam(), Layout::TILE, place));
      EXPECT_EQ(back.shape, kShapes[i]);
      EXPECT_EQ(bits_of(back), bits_of(rounded(values, GetParam()))) << kShapes[i];
    }
  }
}

TEST_P(TransferOfFormat, WritesTheBytesOfNumericsWithZeroPadding) {
  const HostTensor values = random_values({1, 2, 33, 40}, 1);
  const TensorSpec spec{values.shape, GetParam(), Layout::TILE, kDramInterleaved};
  // Memory that held something else before: padding must be written, not found.
  {
    const Tensor junk = from_host(*device, rows_of({{1, 2, 64, 64}, std::vector<float>(8192, 3.0F)}),
                                  {{1, 2, 64, 64}, GetParam(), Layout::TILE, kDramInterleaved}, "junk");
  }
  const Tensor tensor = from_host(*device, rows_of(values), spec, "test");
  device->synchronize();
  const auto matrix_bytes = static_cast<std::size_t>(numerics::tilized_bytes(33, 40, GetParam()));
  std::vector<std::byte> expected(2 * matrix_bytes);
  for (std::size_t matrix = 0; matrix < 2; ++matrix) {
    numerics::tilize(std::span(values.data).subspan(matrix * 33 * 40, 33 * 40), 33, 40, GetParam(),
                     numerics::TileOrder::ColumnPairs,
                     std::span(expected).subspan(matrix * matrix_bytes, matrix_bytes));
  }
  ASSERT_EQ(static_cast<std::int64_t>(expected.size()), spec.size_bytes());
  const std::span<const std::byte> held(tensor.view().bytes(0), expected.size());
  EXPECT_TRUE(std::equal(held.begin(), held.end(), expected.begin()));
}

TEST_P(TransferOfFormat, BFloat16RowsGiveTheBytesOfTheirWidenedValues) {
  for (const auto& [n, k] : {std::pair{1, 1}, {32, 32}, {33, 129}, {70, 128}, {5, 300}, {96, 31}, {3000, 400}}) {
    HostTensor values = random_values({n, k}, static_cast<std::uint32_t>(n));
    values.data[0] = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::uint16_t> patterns;
    for (float& value : values.data) {
      patterns.push_back(static_cast<std::uint16_t>(numerics::float_bits(value) >> 16));
      value = numerics::from_bfloat16(patterns.back());
    }
    HostRows source = rows_of(values);
    source.bf16_row = [&patterns, width = k](std::int64_t row, std::byte* scratch) -> const std::byte* {
      const std::uint16_t* const stored = patterns.data() + row * width;
      if (row % 2 == 0) return reinterpret_cast<const std::byte*>(stored);
      std::memcpy(scratch, stored, static_cast<std::size_t>(width) * sizeof(std::uint16_t));
      return scratch;
    };
    const auto bytes_of = [&](const Tensor& tensor) {
      device->synchronize();
      const std::byte* held = tensor.view().bytes(0);
      return std::vector<std::byte>(held, held + tensor.spec().size_bytes());
    };
    const TensorSpec weight{{1, 1, k, n}, GetParam(), Layout::TILE, kDramInterleaved};
    EXPECT_EQ(bytes_of(from_host_transposed(*device, source, weight, "quick")),
              bytes_of(from_host_transposed(*device, rows_of(values), weight, "slow")))
        << n << " x " << k;
    if (is_block_float(GetParam())) continue;
    const TensorSpec table{{1, 1, n, k}, GetParam(), Layout::ROW_MAJOR, kDramInterleaved};
    EXPECT_EQ(bytes_of(from_host(*device, source, table, "quick")),
              bytes_of(from_host(*device, rows_of(values), table, "slow")))
        << n << " x " << k;
  }
}

TEST_P(TransferOfFormat, LoadsAWeightTransposed) {
  // Rows beyond and below one run of the conversion, odd sizes, one element.
  for (const auto& [n, k] : {std::pair{1, 1}, {32, 32}, {33, 129}, {70, 128}, {5, 300}, {96, 31}}) {
    const HostTensor weight = random_values({n, k}, static_cast<std::uint32_t>(n));
    HostTensor transposed{{1, 1, k, n}, std::vector<float>(weight.data.size())};
    for (std::int64_t row = 0; row < n; ++row) {
      for (std::int64_t column = 0; column < k; ++column) {
        transposed.data[static_cast<std::size_t>(column * n + row)] =
            weight.data[static_cast<std::size_t>(row * k + column)];
      }
    }
    const TensorSpec spec{transposed.shape, GetParam(), Layout::TILE, kDramInterleaved};
    const Tensor loaded = from_host_transposed(*device, rows_of(weight), spec, "weight");
    EXPECT_EQ(bits_of(to_host(loaded)), bits_of(rounded(transposed, GetParam()))) << n << " x " << k;
    const Tensor direct = from_host(*device, rows_of(transposed), spec, "weight");
    device->synchronize();
    EXPECT_TRUE(std::equal(loaded.view().bytes(0), loaded.view().bytes(0) + spec.size_bytes(), direct.view().bytes(0)))
        << n << " x " << k << ": padding differs";
  }
}

TEST_P(TransferOfFormat, ZerosAreZeroBytesThoughTheMemoryWasUsed) {
  { const Tensor junk = upload(random_values({1, 1, 640, 640}, 1), DataType::FLOAT32, Layout::TILE); }
  const TensorSpec spec{{1, 3, 100, 520}, GetParam(), Layout::TILE, kDramInterleaved};
  const Tensor tensor = zeros(*device, spec, "zeros");
  EXPECT_THAT(bits_of(to_host(tensor)), Each(0U));
  const std::span<const std::byte> held(tensor.view().bytes(0), static_cast<std::size_t>(spec.size_bytes()));
  EXPECT_TRUE(std::all_of(held.begin(), held.end(), [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_P(TransferOfFormat, GivesTheSameBitsWithOneThreadAndTwo) {
  const HostTensor values = random_values({1, 3, 70, 90}, 4);
  const TensorSpec spec{values.shape, GetParam(), Layout::TILE, kDramInterleaved};
  const auto alone = runtime::MeshDevice::open({.threads = 1});
  EXPECT_EQ(bits_of(to_host(from_host(*alone, rows_of(values), spec, "x"))),
            bits_of(to_host(from_host(*device, rows_of(values), spec, "x"))));
}

TEST_F(TransferTest, RowMajorKeepsFloat32AndRoundsBfloat16) {
  for (const Shape& shape : kShapes) {
    const HostTensor values = random_values(shape, 9);
    EXPECT_EQ(bits_of(to_host(upload(values, DataType::FLOAT32, Layout::ROW_MAJOR))), bits_of(values)) << shape;
    EXPECT_EQ(bits_of(to_host(upload(values, DataType::BFLOAT16, Layout::ROW_MAJOR))),
              bits_of(rounded(values, DataType::BFLOAT16)))
        << shape;
  }
}

TEST_F(TransferTest, KeepsSpecialValues) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const HostTensor values{{1, 6}, {0.0F, -0.0F, kInf, -kInf, 1e-40F, std::nanf("")}};
  for (const Layout layout : {Layout::TILE, Layout::ROW_MAJOR}) {
    EXPECT_EQ(bits_of(to_host(upload(values, DataType::FLOAT32, layout))), bits_of(values));
    const HostTensor back = to_host(upload(values, DataType::BFLOAT16, layout));
    EXPECT_EQ(bits_of(back), bits_of(rounded(values, DataType::BFLOAT16)));
    EXPECT_TRUE(std::signbit(back.data[1]));
    EXPECT_EQ(back.data[2], kInf);
    EXPECT_TRUE(std::isnan(back.data[5]));
  }
}

TEST_F(TransferTest, IntegersComeBackAsTheyWere) {
  const std::vector<std::int32_t> values{
      0, -1, 7, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max(), 5};
  for (const DataType dtype : {DataType::INT32, DataType::UINT32}) {
    const Tensor tensor = from_host(*device, values, {{2, 3}, dtype, Layout::ROW_MAJOR, kDramInterleaved}, "ids");
    EXPECT_EQ(to_host_integers(tensor), values);
  }
  const Tensor tensor = from_host(*device, values, {{6}, DataType::UINT32, Layout::ROW_MAJOR, kDramInterleaved}, "ids");
  EXPECT_EQ(to_host(tensor).data[1], 4294967295.0F);
}

TEST_F(TransferTest, WriteReplacesIntegersInTheQueuesOrder) {
  const Tensor tensor = test::integers_to_device(*device, {3}, {1, 2, 3});
  write(tensor, {4, 5, 6});
  EXPECT_THAT(to_host_integers(tensor), ElementsAre(4, 5, 6));
  write(tensor, {7, 8, 9});
  EXPECT_THAT(to_host(tensor).data, ElementsAre(7, 8, 9));
}

TEST_F(TransferTest, ReadsASourceInPiecesAndOwnsIt) {
  auto content = std::make_shared<std::vector<float>>(40 * 300);
  for (std::size_t i = 0; i < content->size(); ++i) (*content)[i] = static_cast<float>(i);
  const HostRows source{40, 300, [content](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
                          std::copy_n(content->data() + row * 300 + first, count, out);
                        }};
  const HostTensor expected{{1, 1, 40, 300}, *content};
  content.reset();
  const Tensor tensor =
      from_host(*device, source, {expected.shape, DataType::FLOAT32, Layout::TILE, kDramInterleaved}, "x");
  EXPECT_EQ(to_host(tensor).data, expected.data);
}

TEST_F(TransferTest, AFailingSourceSurfacesAtTheRead) {
  const HostRows source{4, 4, [](std::int64_t row, std::int64_t, std::int64_t, float*) {
                          base::require<base::IoError>(row != 2, "row 2 is damaged");
                        }};
  const Tensor tensor = from_host(*device, source, {{4, 4}, DataType::FLOAT32, Layout::TILE, kDramInterleaved}, "x");
  EXPECT_THAT([&] { to_host(tensor); }, ThrowsMessage<base::DeviceError>(
                                            testing::AllOf(HasSubstr("[from_host]"), HasSubstr("row 2 is damaged"))));
}

TEST_F(TransferTest, ReturnsBeforeTheSourceIsRead) {
  std::atomic<bool> open = false;
  const HostRows source{1, 1, [&open](std::int64_t, std::int64_t, std::int64_t, float* out) {
                          while (!open) std::this_thread::yield();
                          *out = 3.0F;
                        }};
  const Tensor tensor = from_host(*device, source, {{1}, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "x");
  open = true; // reached only because the call above did not wait
  EXPECT_THAT(to_host(tensor).data, ElementsAre(3.0F));
}

TEST(TransferToAMesh, PutsTheSameOnEveryChip) {
  const auto device = runtime::MeshDevice::open({.board = board("n300"), .threads = 2});
  const HostTensor values = random_values({1, 1, 40, 50}, 5);
  const Tensor tensor = test::to_device(*device, values, DataType::BFLOAT8_B);
  const Tensor ids = test::integers_to_device(*device, {2}, {4, 5});
  for (std::int64_t chip = 0; chip < 2; ++chip) {
    EXPECT_EQ(bits_of(to_host(tensor, chip)), bits_of(rounded(values, DataType::BFLOAT8_B)));
    EXPECT_THAT(to_host_integers(ids, chip), ElementsAre(4, 5));
  }
  EXPECT_THAT([&] { to_host(tensor, 2); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("chip must be in 0..1; received 2")));
  EXPECT_THAT([&] { to_host_integers(ids, -1); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("received -1")));
}

TEST_F(TransferTest, ReadOperandDecodesInsideAnObserver) {
  class Reader : public runtime::QueueObserver {
   public:
    void after(runtime::MeshDevice& observed, const OpRecord& record, const runtime::ProgramRun&) override {
      names.push_back(record.name);
      seen.push_back(read_operand(observed, record.outputs.at(0)));
    }
    std::vector<std::string> names;
    std::vector<HostTensor> seen;
  } reader;
  device->queue().add_observer(reader);
  const HostTensor values = random_values({1, 2, 33, 40}, 6);
  for (int i = 0; i < 2; ++i) upload(values, DataType::BFLOAT16, Layout::TILE); // freed at once: read while live
  device->synchronize();
  device->queue().remove_observer(reader);
  EXPECT_THAT(reader.names, ElementsAre("from_host", "from_host"));
  for (const HostTensor& seen : reader.seen) {
    EXPECT_EQ(seen.shape, values.shape);
    EXPECT_EQ(bits_of(seen), bits_of(rounded(values, DataType::BFLOAT16)));
  }
}

TEST(TransferInRecordMode, AllocatesAndReadsNothing) {
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const HostRows none{1000, 1000, nullptr};
  const TensorSpec spec{{1, 1, 1000, 1000}, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved};
  const Tensor tensor = from_host(*device, none, spec, "weight");
  const Tensor transposed = from_host_transposed(*device, none, spec, "weight");
  EXPECT_GT(transposed.address(), tensor.address());
  EXPECT_THAT([&] { to_host(tensor); },
              ThrowsMessage<base::Unsupported>(HasSubstr("a recording device holds no data")));
  EXPECT_THROW(to_host_integers(tensor), base::Unsupported);
  EXPECT_THROW(read_operand(*device, tensor.record("x")), base::Unsupported);
}

TEST_F(TransferTest, RefusesExtentsThatDoNotMatch) {
  const HostRows source = rows_of(random_values({4, 6}, 1));
  const auto spec = [](const Shape& shape, DataType dtype = DataType::FLOAT32, Layout layout = Layout::TILE) {
    return TensorSpec{shape, dtype, layout, kDramInterleaved};
  };
  EXPECT_THAT(
      [&] {
        from_host(*device, source, spec({6, 4}), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("[from_host] 6 x 4 values are required")));
  EXPECT_THAT(
      [&] {
        from_host_transposed(*device, source, spec({4, 6}), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("received 4 x 6")));
  EXPECT_THAT(
      [&] {
        from_host(*device, source, spec({4, 6}, DataType::INT32), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("a floating-point dtype is required; received INT32")));
  EXPECT_THAT(
      [&] {
        from_host(*device, source, spec({4, 6}, DataType::BFLOAT8_B, Layout::ROW_MAJOR), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("TILE layout only")));
  EXPECT_THAT(
      [&] {
        from_host_transposed(*device, source, spec({2, 6, 2}), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("one TILE matrix is required")));
  EXPECT_THAT(
      [&] {
        from_host_transposed(*device, source, spec({6, 4}, DataType::FLOAT32, Layout::ROW_MAJOR), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("one TILE matrix is required")));
  EXPECT_THROW(from_host(*device, source, spec({}), "x"), base::InvalidArgument);
  EXPECT_THROW(from_host(*device, source, spec({4, 0}), "x"), base::InvalidArgument);
  EXPECT_EQ(device->allocator(BufferType::DRAM).usage().used_bytes, 0);
}

TEST_F(TransferTest, RefusesIntegersThatDoNotMatch) {
  const auto spec = [](const Shape& shape, DataType dtype, Layout layout) {
    return TensorSpec{shape, dtype, layout, kDramInterleaved};
  };
  EXPECT_THAT(
      [&] {
        from_host(*device, std::vector<std::int32_t>{1, 2}, spec({3}, DataType::INT32, Layout::ROW_MAJOR), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("received INT32 [3] ROW_MAJOR DRAM INTERLEAVED and 2")));
  EXPECT_THAT(
      [&] {
        from_host(*device, std::vector<std::int32_t>{1, 2}, spec({2}, DataType::FLOAT32, Layout::ROW_MAJOR), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("an integer dtype in ROW_MAJOR")));
  EXPECT_THAT(
      [&] {
        from_host(*device, std::vector<std::int32_t>{1, 2}, spec({2}, DataType::INT32, Layout::TILE), "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("an integer dtype in ROW_MAJOR")));
  const Tensor tensor = test::integers_to_device(*device, {3}, {1, 2, 3});
  EXPECT_THROW(write(tensor, {1, 2}), base::InvalidArgument);
  EXPECT_THROW(write(test::to_device(*device, random_values({3}, 1), DataType::FLOAT32), {1, 2, 3}),
               base::InvalidArgument);
  EXPECT_THROW(to_host_integers(test::to_device(*device, random_values({3}, 1), DataType::FLOAT32)),
               base::InvalidArgument);
}

TEST(RowsOf, RefusesValuesThatDoNotFillTheShape) {
  EXPECT_THAT(
      [] {
        rows_of({{2, 3}, {1, 2, 3}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("[2, 3] says, and one at least, are required; received 3")));
  EXPECT_THROW(rows_of({{2, 0}, {}}), base::InvalidArgument);
  EXPECT_THROW(rows_of({{}, {1}}), base::InvalidArgument);
}

} // namespace
} // namespace tessera::tensor
