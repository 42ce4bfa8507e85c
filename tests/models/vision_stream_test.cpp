#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/nn/classifier/batch_stream.hpp"
#include "tests/models/small_classifiers.hpp"

namespace tessera::models {
namespace {

using tensor::HostTensor;

HostTensor images(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  HostTensor result{{count, 3, 40, 32}, {}};
  result.data.resize(static_cast<std::size_t>(result.shape.volume()));
  for (float& value : result.data) value = normal(random);
  return result;
}

class BatchStreamTest : public testing::Test {
 protected:
  BatchStreamTest() { test::small_resnet({}).write(folder_.path()); }
  std::unique_ptr<nn::ClassifierModel> load(std::int64_t chips = 1, int queues = 1) const {
    BoardSpec spec = board("t3000");
    spec.mesh_rows = 1;
    spec.mesh_columns = chips;
    return load_classifier(runtime::MeshDevice::open({.board = spec, .threads = 2, .command_queues = queues}),
                           open_classifier_checkpoint(folder_.path().string()), {.precision = "bf16"});
  }

  test::TemporaryFolder folder_;
};

TEST_F(BatchStreamTest, TracesAndTwoQueuesGiveTheBitsOfTheForwardPass) {
  const auto plain = load();
  std::vector<HostTensor> expected;
  for (std::uint32_t i = 0; i < 7; ++i) expected.push_back(plain->forward(images(3, i), nullptr));
  for (const std::int64_t chips : {1, 2}) {
    for (const bool trace : {false, true}) {
      for (const int queues : {1, 2}) {
        const auto model = load(chips, queues);
        nn::BatchStream stream(*model, {3, 3, 40, 32}, {.trace = trace});
        EXPECT_EQ(stream.depth(), queues);
        std::vector<HostTensor> actual;
        for (std::uint32_t i = 0; i < 7; ++i) {
          stream.submit(images(3, i));
          if (i + 1 >= static_cast<std::uint32_t>(queues)) actual.push_back(stream.next());
        }
        if (queues == 2) actual.push_back(stream.next());
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i) {
          EXPECT_EQ(actual[i].shape, expected[i].shape);
          EXPECT_EQ(actual[i].data, expected[i].data) << chips << " chips, trace " << trace << ", queues " << queues;
        }
      }
    }
  }
}

TEST_F(BatchStreamTest, TakesFewerImagesThanItsBatch) {
  const auto model = load();
  nn::BatchStream stream(*model, {4, 3, 40, 32}, {});
  for (int round = 0; round < 4; ++round) {
    stream.submit(images(2, 5));
    EXPECT_EQ(stream.next().data, model->forward(images(2, 5), nullptr).data);
  }
  EXPECT_THAT([&] { stream.submit(images(5, 1)); }, testing::ThrowsMessage<base::InvalidArgument>(
                                                        testing::HasSubstr("inputs [4, 3, 40, 32] or fewer items")));
  EXPECT_THAT([&] { stream.next(); },
              testing::ThrowsMessage<base::InvalidArgument>(testing::HasSubstr("must be submitted")));
}

} // namespace
} // namespace tessera::models
