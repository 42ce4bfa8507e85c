#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera::bringup {

/// What the vendor measured of a model on a board of its own.
struct Published {
  std::string config; ///< its name in configs/: "llama-3.1-8b"
  std::string board;
  std::int64_t copies = 1; ///< over all chips of the board
  std::int64_t users = 1;  ///< of one copy
  std::int64_t prompt_length = 0;
  std::string precision;
  double tokens_per_s_user = 0;
  double ttft_ms = 0;
  std::optional<double> top1; ///< under teacher forcing, against the original model; 0..1
  std::optional<double> top5;
};

/// All rows, and where they come from: published.json of this folder, as it was when this was built.
std::span<const Published> published_rows();
std::string_view published_source();

} // namespace tessera::bringup
