#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "tessera/nn/token_loop.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

/// What changes from one step of a model to the next, in device tensors that stay where they are: a trace reads them
/// at each replay. INT32 but for temperature and p, which are FLOAT32; all ROW_MAJOR in DRAM.
struct StepInputs {
  // Prefill of one user.
  tensor::Tensor prompt;           ///< [1, 1, C]: ids, C being the context in whole tiles
  tensor::Tensor prompt_positions; ///< [1, 1, C]: 0, 1, 2, ...
  tensor::Tensor user;             ///< [1]: whose cache is filled
  tensor::Tensor last_row;         ///< [1]: the row of the last token

  // Decode of up to B users.
  tensor::Tensor ids;              ///< [1, 1, B]
  tensor::Tensor positions;        ///< [B]; -1 for idle users
  tensor::Tensor rotary_positions; ///< [1, B, 1]: the users' rows of the rotary tables
  tensor::Tensor temperature;      ///< [B]
  tensor::Tensor top_k;            ///< [B]
  tensor::Tensor top_p;            ///< [B]
  tensor::Tensor seed;             ///< [B, 2]: low half, high half
  /// [1, 1, B] each: copies of ids for another queue to read while the next step writes ids, in turns.
  std::array<tensor::Tensor, 2> drawn;

  StepInputs() = default;
  StepInputs(runtime::MeshDevice& device, std::int64_t users, std::int64_t context);

  /// The first rows of the decode tensors: a step of fewer users.
  StepInputs of_users(std::int64_t rows) const;

  /// Queue what a step needs. Idle users have position -1, and row -1; their id becomes 0.
  void write_prompt(std::int64_t user_number, std::span<const std::int32_t> prompt_ids) const;
  void write_users(std::span<const std::int32_t> user_ids, std::span<const std::int32_t> user_positions,
                   std::span<const std::int32_t> rotary_rows) const;
  void write_sampling(std::span<const std::optional<TokenUser>> users) const;
};

} // namespace tessera::nn
