#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tessera/nn/decoder_model.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::nn {

/// A decoder of two layers whose widths fill no tile: E 48, F 72, 6 query heads and 2 KV heads of 8, V 50.
DecoderConfig small_config();

/// The same with what families add to it: biases and a tied LM head (Qwen2), a sliding window on layer 1 (Mistral).
DecoderConfig small_config_with_biases();
DecoderConfig small_config_with_window(std::int64_t window);

/// A decoder whose widths no number of chips divides: E 52, F 75, 8 query heads and 4 KV heads of 6, V 51, biases
/// in all projections.
DecoderConfig odd_config();

/// Falcon's kind: layer norms, a fused QKV projection, an MLP without a gate beside the attention, biases; the MLP's
/// norm its own or the attention's. Widths that no number of chips divides.
DecoderConfig parallel_config(bool mlp_norm);

/// Gemma 2's kind: norms of the outputs too, stored as w - 1, scaled embeddings, capped scores and logits, GeGLU; with
/// norms of the heads, and heads of which a part turns.
DecoderConfig capped_config();
/// Phi-3's kind: fused projections, and a rotary embedding that differs in sequences of more than 40 positions.
DecoderConfig long_config();
/// GPT-2's kind: learned positions, layer norms, projections stored the other way round, an MLP without a gate.
DecoderConfig learned_config();
/// Falcon-RW's kind: ALiBi.
DecoderConfig alibi_config();
/// Mixtral's kind: three of five experts.
DecoderConfig experts_config();

/// A board of Wormhole chips in a mesh of this shape.
BoardSpec mesh_board(std::int64_t rows, std::int64_t columns);

/// A checkpoint with random weights in a folder of its own.
class SmallDecoder {
 public:
  explicit SmallDecoder(DecoderConfig model_config = small_config(),
                        checkpoint::StorageType dtype = checkpoint::StorageType::F32);

  /// A model of it. `precision`: a preset or file.
  std::unique_ptr<DecoderModel> load(const std::string& precision = "full", std::int64_t max_users = 1,
                                     const runtime::MeshDeviceOptions& device = {}, std::int64_t context = 96,
                                     TensorParallelScheme scheme = TensorParallelScheme::LINE) const;
  /// The same on a device that is there; `original`: the model whose weights it shares, or null.
  std::unique_ptr<DecoderModel> load_on(const std::shared_ptr<runtime::MeshDevice>& mesh, const std::string& precision,
                                        std::int64_t max_users, std::int64_t context, TensorParallelScheme scheme,
                                        const DecoderModel* original) const;

  const DecoderConfig& config() const { return config_; }
  const checkpoint::Checkpoint& checkpoint() const { return checkpoint_; }
  /// The weights as the file holds them, widened.
  const HostTensor& weight(const std::string& name) const { return weights_.at(name); }
  const test::TemporaryFolder& folder() const { return folder_; }

 private:
  void write(checkpoint::StorageType dtype);

  test::TemporaryFolder folder_;
  DecoderConfig config_;
  std::map<std::string, HostTensor> weights_;
  checkpoint::Checkpoint checkpoint_;
};

/// A model in record mode planned from a configuration alone, without weights.
std::unique_ptr<DecoderModel> plan(const DecoderConfig& config, const std::string& precision, std::int64_t max_users,
                                   std::int64_t context = 96, const BoardSpec& board = tessera::board("n150"));

/// Token ids that a generator of numbers gives: `count` of them below the vocabulary's size.
std::vector<std::int32_t> random_ids(std::int64_t count, std::uint32_t seed);

/// The largest difference between two tensors of one shape.
double largest_difference(const HostTensor& a, const HostTensor& b);

/// Row `row` of a [R, N] tensor as a [1, N] of its own.
HostTensor row_of(const HostTensor& tensor, std::int64_t row);

} // namespace tessera::nn
