#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tessera/models/parallelism.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::bringup {

/// What one chip of a copy holds: parts [first, first + count) of what the chips share.
struct ChipPart {
  struct Part {
    std::string what; ///< "query heads", "MLP width", ...
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t extent = 0; ///< of the whole
  };
  std::vector<Part> parts;
};

/// A form of the model on a board: copies side by side, each shared out over a submesh.
struct ShardingForm {
  std::string name; ///< "dp 8, tp 1"
  std::int64_t copies = 1;
  std::int64_t rows = 1; ///< chips of a copy
  std::int64_t columns = 1;
  std::vector<ChipPart> chips{}; ///< of one copy, row by row; empty: a chip holds the whole

  /// Copy and place in it of a chip of a board with so many columns; a copy of -1: the chip is idle.
  struct Place {
    std::int64_t copy = -1;
    std::int64_t chip = 0;
  };
  Place place(std::int64_t row, std::int64_t column, std::int64_t board_columns) const;
};

/// Forms on one board.
struct Sharding {
  std::string board;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::vector<ShardingForm> forms;
};

/// How a decoder lies on a board in some form. Throws as nn::TensorParallel.
ShardingForm sharding_of(const BoardSpec& board, const models::Parallelism& parallelism,
                         const nn::DecoderConfig& config);

/// sharding.json for a report's page, and back. Throw IoError, and InvalidArgument for another JSON.
void write_sharding(const Sharding& sharding, const std::string& key, const std::filesystem::path& folder);
Sharding sharding_from_json(const nlohmann::json& json);

} // namespace tessera::bringup
