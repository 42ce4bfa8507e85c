#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

// The text of the error that a statement throws, checked to be of one type and one line.
template <typename Error, typename Statement>
std::string error_text(Statement statement) {
  try {
    statement();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_TRUE(text.starts_with("[")) << text;
    return text;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return {};
  }
  ADD_FAILURE() << "no error";
  return {};
}
