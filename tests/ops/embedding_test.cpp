#include "tessera/ops/embedding/embedding.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

class EmbeddingTest : public OpsTest {
 protected:
  Tensor table(const HostTensor& values, DataType dtype) const {
    return tensor::from_host(*device, tensor::rows_of(values),
                             {values.shape, dtype, Layout::ROW_MAJOR, kDramInterleaved}, "table");
  }
};

TEST_F(EmbeddingTest, LooksRowsUpInEveryCombinationOfFormats) {
  for (const std::int64_t width : {8, 40, 64}) {
    const HostTensor values = random_values({1, 1, 11, width}, 1);
    const std::vector<std::int32_t> ids{10, 0, 3, 3, 7};
    for (const DataType stored : {DataType::BFLOAT16, DataType::FLOAT32}) {
      const HostTensor held = rounded(values, stored);
      HostTensor picked{{1, 1, 5, width}, {}};
      for (const std::int32_t id : ids) picked.data.insert(picked.data.end(), held.row(id).begin(), held.row(id).end());
      for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B}) {
        const Tensor output = embedding(integers_to_device(*device, {1, 1, 5}, ids), table(values, stored),
                                        {.dtype = dtype, .memory_config = kL1Interleaved});
        EXPECT_EQ(output.shape(), picked.shape);
        EXPECT_EQ(output.memory_config(), kL1Interleaved);
        EXPECT_EQ(bits_of(to_host(output)), bits_of(rounded(picked, dtype)));
        expect_zero_padding(output);
      }
    }
  }
}

TEST_F(EmbeddingTest, MatricesOfIdsGiveMatricesOfRows) {
  const HostTensor values = random_values({1, 1, 6, 16}, 2);
  const Tensor output = embedding(integers_to_device(*device, {1, 3, 1}, {5, 1, 2}), table(values, DataType::FLOAT32),
                                  {.dtype = DataType::FLOAT32});
  EXPECT_EQ(output.shape(), (Shape{1, 3, 1, 16}));
  const HostTensor rows = to_host(output);
  for (const auto& [row, id] : {std::pair{0, 5}, {1, 1}, {2, 2}}) {
    EXPECT_TRUE(std::equal(rows.row(row).begin(), rows.row(row).end(), values.row(id).begin()));
  }
}

TEST_F(EmbeddingTest, ANegativeIdGivesZeros) {
  const HostTensor values = random_values({1, 1, 6, 16}, 2);
  const HostTensor rows = to_host(embedding(integers_to_device(*device, {1, 1, 2}, {-1, 4}),
                                            table(values, DataType::FLOAT32), {.dtype = DataType::FLOAT32}));
  EXPECT_THAT(rows.row(0), testing::Each(0.0F));
  EXPECT_TRUE(std::equal(rows.row(1).begin(), rows.row(1).end(), values.row(4).begin()));
}

TEST_F(EmbeddingTest, AnIdBeyondTheTableFailsOnTheQueue) {
  const runtime::Scope scope(*device, "embedding");
  const Tensor output = embedding(integers_to_device(*device, {1, 1, 2}, {0, 6}),
                                  table(random_values({1, 1, 6, 16}, 2), DataType::BFLOAT16), {});
  EXPECT_THAT([&] { to_host(output); },
              ThrowsMessage<base::DeviceError>(
                  testing::AllOf(HasSubstr("[embedding in embedding]"), HasSubstr("ids must be below 6; received 6"))));
}

TEST_F(EmbeddingTest, RefusesOperandsThatDoNotFit) {
  const Tensor ids = integers_to_device(*device, {1, 1, 2}, {0, 1});
  const Tensor rows = table(random_values({1, 1, 6, 16}, 2), DataType::BFLOAT16);
  EXPECT_INVALID(embedding(rows, rows, {}), "[embedding] ids must be integers in ROW_MAJOR");
  EXPECT_INVALID(embedding(Tensor(), rows, {}), "[embedding] ids must be integers in ROW_MAJOR");
  EXPECT_INVALID(embedding(ids, ids, {}), "[embedding] weight must be one ROW_MAJOR matrix");
  EXPECT_INVALID(embedding(ids, Tensor(), {}), "[embedding] weight must be one ROW_MAJOR matrix");
  EXPECT_INVALID(embedding(ids, random({1, 1, 6, 16}, 1), {}), "[embedding] weight must be one ROW_MAJOR matrix");
  EXPECT_INVALID(embedding(ids, table(random_values({16}, 2), DataType::BFLOAT16), {}), "[embedding] weight must be");
  EXPECT_INVALID(embedding(ids, table(random_values({2, 6, 16}, 2), DataType::BFLOAT16), {}),
                 "[embedding] weight must be");
  EXPECT_INVALID(embedding(ids, rows, {.dtype = DataType::INT32}), "[embedding] dtype must be");
}

} // namespace
} // namespace tessera::ops
