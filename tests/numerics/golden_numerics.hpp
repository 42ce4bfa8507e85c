#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::numerics {

/// A file of golden/numerics, whose README says where the numbers come from. Skips where it is absent.
class GoldenNumerics : public testing::Test {
 protected:
  explicit GoldenNumerics(const std::string& name) {
    const char* folder = std::getenv("TESSERA_GOLDEN");
    path_ = std::filesystem::path(folder != nullptr ? folder : TESSERA_SOURCE_DIR "/../shared/golden") / "numerics" /
            (name + ".safetensors");
  }
  void SetUp() override {
    if (!std::filesystem::exists(path_)) GTEST_SKIP() << path_ << " is absent";
    file_.emplace(checkpoint::SafeTensors::open(path_));
  }

  bool has(const std::string& name) const { return file_->contains(name); }
  std::span<const std::byte> bytes(const std::string& name) {
    used_.insert(name);
    return file_->at(name).data;
  }
  template <typename T>
  std::vector<T> values(const std::string& name) {
    const std::span<const std::byte> data = bytes(name);
    std::vector<T> values(data.size() / sizeof(T));
    std::memcpy(values.data(), data.data(), data.size());
    return values;
  }
  /// The part of the names that end in `end`, before it.
  std::vector<std::string> names_before(const std::string& end) const {
    std::vector<std::string> found;
    for (const std::string& name : file_->names()) {
      if (name.ends_with(end)) found.push_back(name.substr(0, name.size() - end.size()));
    }
    return found;
  }

  std::filesystem::path path_;
  std::optional<checkpoint::SafeTensors> file_;
  std::set<std::string> used_;
};

} // namespace tessera::numerics
