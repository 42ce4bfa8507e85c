#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

using testing::ElementsAre;

class MoeTest : public OpsTest {
 protected:
  std::vector<std::int32_t> integers(const Tensor& tensor) const { return tensor::begin_read_integers(tensor).get(); }
  std::vector<float> floats(const Tensor& tensor) const { return to_host(tensor).data; }

  /// Logits of rows that choose the experts listed, the first most of all.
  Tensor logits_for(const std::vector<std::vector<std::int32_t>>& choices, std::int64_t experts) const {
    HostTensor logits{{1, 1, static_cast<std::int64_t>(choices.size()), experts}, {}};
    logits.data.assign(static_cast<std::size_t>(logits.shape.volume()), -1.0F);
    for (std::size_t row = 0; row < choices.size(); ++row) {
      for (std::size_t j = 0; j < choices[row].size(); ++j)
        logits.data[row * static_cast<std::size_t>(experts) + static_cast<std::size_t>(choices[row][j])] =
            3.0F - static_cast<float>(j);
    }
    return upload(logits, DataType::FLOAT32);
  }
};

TEST_F(MoeTest, RoutesEachRowToItsBestExperts) {
  const Routing routing = moe_routing(logits_for({{2, 0}, {1, 2}, {2, 1}}, 4), 2);
  EXPECT_THAT(integers(routing.counts), ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(integers(routing.begins), ElementsAre(0, 32, 64, 96));
  EXPECT_THAT(integers(routing.places), ElementsAre(64, 0, 32, 65, 66, 33));
  const auto rows = integers(routing.rows);
  EXPECT_EQ(rows.size(), 128U); // at most four experts are chosen
  EXPECT_THAT((std::vector{rows[0], rows[1], rows[32], rows[33], rows[34], rows[64], rows[65], rows[66], rows[67]}),
              ElementsAre(0, -1, 1, 2, -1, 0, 1, 2, -1));
  const double share = 1.0 / (1.0 + std::exp(-1.0));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(floats(routing.weights)[i], i % 2 == 0 ? share : 1.0 - share, 1e-6);
}

TEST_F(MoeTest, OfEqualExpertsTheFirstIsChosen) {
  const Routing routing = moe_routing(upload({{1, 1, 1, 5}, {1, 7, 7, 7, 0}}, DataType::FLOAT32), 2);
  EXPECT_THAT(integers(routing.counts), ElementsAre(0, 1, 1, 0, 0));
  EXPECT_THAT(floats(routing.weights), ElementsAre(0.5F, 0.5F));
}

class MoeOfFormat : public MoeTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(WeightFormats, MoeOfFormat,
                         testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B,
                                         DataType::BFLOAT4_B),
                         test::dtype_name);

// A row through an expert has the bits of that row alone through linear.
TEST_P(MoeOfFormat, EachRowIsTheProductWithItsExpertsWeight) {
  const std::int64_t experts = 5;
  for (const std::int64_t rows : {1, 3, 40, 150}) {
    const HostTensor x = random_values({1, 1, rows, 72}, 1);
    const DataType activation = GetParam() == DataType::FLOAT32 ? DataType::FLOAT32 : DataType::BFLOAT16;
    const Tensor input = upload(x, activation);
    std::vector<Tensor> weights;
    std::vector<HostTensor> products;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      weights.push_back(upload(random_values({1, 1, 72, 100}, static_cast<std::uint32_t>(10 + expert)), GetParam()));
      products.push_back(to_host(linear(input, weights.back(), {.dtype = DataType::FLOAT32})));
    }
    const HostTensor scores = random_values({1, 1, rows, experts}, 3);
    const Routing routing = moe_routing(upload(scores, DataType::FLOAT32), 2);
    const Tensor y = grouped_linear(input, GroupedInput::GATHER, weights, routing, {.dtype = DataType::FLOAT32});
    const HostTensor combined = to_host(moe_combine(y, routing));
    const HostTensor by_place = to_host(y);
    const auto places = integers(routing.places);
    const auto begins = integers(routing.begins);
    const auto shares = floats(routing.weights);
    for (std::int64_t row = 0; row < rows; ++row) {
      std::vector<float> sum(100, 0.0F);
      for (std::size_t j = 0; j < 2; ++j) {
        const auto choice = static_cast<std::size_t>(2 * row) + j;
        const std::int32_t place = places[choice];
        std::size_t expert = experts - 1;
        while (begins[expert] > place || integers(routing.counts)[expert] == 0) --expert;
        const auto expected = products[expert].row(row);
        ASSERT_TRUE(std::ranges::equal(by_place.row(place), expected)) << "row " << row << " of " << rows;
        for (std::size_t i = 0; i < 100; ++i) sum[i] += shares[choice] * expected[i];
      }
      ASSERT_TRUE(std::ranges::equal(combined.row(row), sum)) << "row " << row << " of " << rows;
    }
    // The same from rows that stand at their places.
    const Tensor narrow = grouped_linear(y, GroupedInput::PLACES,
                                         std::vector<Tensor>(5, upload(random_values({1, 1, 100, 33}, 4), GetParam())),
                                         routing, {.dtype = DataType::FLOAT32});
    EXPECT_EQ(narrow.shape(), (Shape{1, 1, y.shape()[-2], 33}));
  }
}

TEST_F(MoeTest, ExpertsWithoutRowsAreNotRead) {
  // A weight that is not a number would show in any product that read it.
  const Tensor bad = upload({{1, 1, 32, 32}, std::vector<float>(1024, std::nanf(""))}, DataType::FLOAT32);
  const Tensor good = random({1, 1, 32, 32}, 2, DataType::FLOAT32);
  const std::vector<Tensor> weights{bad, good, bad, good};
  const Routing routing = moe_routing(logits_for({{1, 3}}, 4), 2);
  const Tensor y = grouped_linear(random({1, 1, 1, 32}, 3, DataType::FLOAT32), GroupedInput::GATHER, weights, routing,
                                  {.dtype = DataType::FLOAT32});
  for (const float value : to_host(moe_combine(y, routing)).data) EXPECT_TRUE(std::isfinite(value));
}

TEST_F(MoeTest, GivesTheSameBitsWithOneThreadAndTwo) {
  std::vector<std::vector<std::uint32_t>> results;
  for (const int threads : {1, 2}) {
    const auto other = runtime::MeshDevice::open({.threads = threads});
    const auto on_other = [&](const Shape& shape, std::uint32_t seed) {
      return to_device(*other, random_values(shape, seed), DataType::BFLOAT16);
    };
    const Routing routing = moe_routing(on_other({1, 1, 70, 4}, 1), 2);
    const std::vector<Tensor> weights(4, on_other({1, 1, 64, 96}, 2));
    const Tensor y = grouped_linear(on_other({1, 1, 70, 64}, 3), GroupedInput::GATHER, weights, routing, {});
    results.push_back(bits_of(to_host(moe_combine(y, routing))));
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(MoeTest, PlacesOutsideFailOnTheQueue) {
  const Tensor x = random({1, 1, 3, 64}, 2);
  const std::vector<Tensor> weights(4, random({1, 1, 64, 32}, 3));
  const auto expect_failure = [&](const char* text) {
    EXPECT_THAT([&] { device->synchronize(); }, testing::ThrowsMessage<base::DeviceError>(testing::HasSubstr(text)));
  };
  const auto wrong = [&](Tensor Routing::*list, std::int32_t value) {
    Routing routing = moe_routing(random({1, 1, 3, 4}, 1), 2);
    const std::int64_t count = (routing.*list).shape()[0];
    routing.*list =
        integers_to_device(*device, {count}, std::vector<std::int32_t>(static_cast<std::size_t>(count), value));
    return routing;
  };
  for (const std::int32_t value : {-5, 1'000'000}) {
    for (Tensor Routing::*const list : {&Routing::begins, &Routing::counts}) {
      grouped_linear(x, GroupedInput::GATHER, weights, wrong(list, value), {});
      expect_failure("an expert's rows must be within the 128 places");
    }
    moe_combine(random({1, 1, 128, 64}, 4), wrong(&Routing::places, value));
    expect_failure("places must be in 0..127");
  }
  grouped_linear(x, GroupedInput::GATHER, weights, wrong(&Routing::rows, 3), {});
  expect_failure("the row of a place must be in 0..2; received 3");
}

TEST_F(MoeTest, RefusesWhatDoesNotFit) {
  const Routing routing = moe_routing(random({1, 1, 3, 4}, 1), 2);
  const Tensor x = random({1, 1, 3, 64}, 2);
  const std::vector<Tensor> weights(4, random({1, 1, 64, 32}, 3));
  EXPECT_INVALID(moe_routing(random({1, 1, 3, 4}, 1), 5), "1 to 4 experts can be chosen; received 5");
  EXPECT_INVALID(grouped_linear(x, GroupedInput::GATHER, std::span(weights).first(3), routing, {}),
                 "a weight for each of 4 experts is required; received 3");
  EXPECT_INVALID(grouped_linear(random({1, 1, 2, 64}, 2), GroupedInput::GATHER, weights, routing, {}),
                 "input must have the shape [1, 1, 3, 64]");
  EXPECT_INVALID(grouped_linear(random({1, 1, 3, 32}, 2), GroupedInput::GATHER, weights, routing, {}),
                 "weights must be [1, 1, 32, N]");
  EXPECT_INVALID(moe_combine(x, routing), "y must have the shape [1, 1, 128, 64]");
}

} // namespace
} // namespace tessera::ops
