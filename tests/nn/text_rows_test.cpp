#include "tessera/nn/classifier/text_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"

namespace tessera::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(TextRows, ShorterTextsArePaddedAtTheirEnd) {
  const TextTokens texts[] = {{{5, 6, 7}, {0, 0, 1}}, {{8}, {1}}};
  const tensor::HostTensor inputs = pack_texts(texts, 9);
  EXPECT_EQ(inputs.shape, (Shape{2, kTextRows, 3}));
  EXPECT_THAT(text_row(inputs, 0, kIdsRow), ElementsAre(5, 6, 7));
  EXPECT_THAT(text_row(inputs, 0, kMaskRow), ElementsAre(1, 1, 1));
  EXPECT_THAT(text_row(inputs, 0, kTypesRow), ElementsAre(0, 0, 1));
  EXPECT_THAT(text_row(inputs, 1, kIdsRow), ElementsAre(8, 9, 9));
  EXPECT_THAT(text_row(inputs, 1, kMaskRow), ElementsAre(1, 0, 0));
  EXPECT_THAT(text_row(inputs, 1, kTypesRow), ElementsAre(1, 0, 0));
}

TEST(TextRows, TextsHaveTokensAndATypeForEach) {
  const auto refuses = [](const std::vector<TextTokens>& texts, const char* text) {
    EXPECT_THAT([&] { pack_texts(texts, 0); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(text)));
  };
  refuses({}, "one text or more");
  refuses({{{1, 2}, {0}}}, "a type for each; received 2 and 1");
  refuses({{{1}, {0}}, {}}, "received 0 and 0");
}

TEST(TextRows, WhatIsOutOfRangeIsNamed) {
  const auto refuses = [](std::int64_t row, float value, const char* text) {
    const TextTokens one[] = {{{1, 2}, {0, 0}}};
    tensor::HostTensor inputs = pack_texts(one, 0);
    inputs.data[static_cast<std::size_t>(row * 2 + 1)] = value;
    EXPECT_THAT([&] { require_texts("bert", inputs, 10, 4, 2); },
                ThrowsMessage<base::InvalidArgument>(HasSubstr(text)));
  };
  refuses(kIdsRow, 10.0F, "[bert] input_ids must be whole numbers in 0..9; received 10 in text 0");
  refuses(kIdsRow, -1.0F, "received -1");
  refuses(kIdsRow, 0.5F, "received 0.5");
  refuses(kMaskRow, 2.0F, "attention_mask");
  refuses(kTypesRow, 2.0F, "token_type_ids must be whole numbers in 0..1");
}

} // namespace
} // namespace tessera::nn
