// The files that checkpoint::write_torch_file makes, read by libtorch itself.

#include <gtest/gtest.h>
#include <torch/serialize.h>

#include "tessera/base/file.hpp"
#include "tessera/checkpoint/torch_file.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::reference {
namespace {

TEST(TorchFile, IsReadByLibtorch) {
  const test::TemporaryFolder folder;
  std::vector<std::int64_t> many(1500);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int64_t>(i * i) - 7;
  const checkpoint::IntegerTensor tensors[] = {{"top5_tokens", {300, 5}, many},
                                               {"reference_tokens", {1, 3}, {9, 8, 7}}};
  checkpoint::write_torch_file(folder.path() / "x.refpt", tensors);
  const std::string bytes = base::read_file(folder.path() / "x.refpt");
  const auto read = torch::pickle_load({bytes.begin(), bytes.end()}).toGenericDict();
  ASSERT_EQ(read.size(), 2U);
  const torch::Tensor top5 = read.at("top5_tokens").toTensor();
  EXPECT_EQ(top5.sizes(), (torch::IntArrayRef{300, 5}));
  EXPECT_EQ(top5.scalar_type(), torch::kLong);
  EXPECT_TRUE(torch::equal(top5, torch::tensor(many).view({300, 5})));
  EXPECT_TRUE(torch::equal(read.at("reference_tokens").toTensor(),
                           torch::tensor(std::vector<std::int64_t>{9, 8, 7}).view({1, 3})));
}

} // namespace
} // namespace tessera::reference
