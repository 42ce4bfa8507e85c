#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/bringup/bisect/bisect.hpp"
#include "tessera/bringup/bisect/chain.hpp"

namespace tessera::bringup::bisect {

/// What all parts of a search share: the texts, what the reference makes of them, and the progress.
class Session {
 public:
  /// Runs the reference on the texts. Errors as in bisect.
  Session(const Inputs& inputs, const Options& options);

  const Inputs& inputs() const { return inputs_; }
  const Options& options() const { return options_; }
  std::int64_t layers() const { return inputs_.device.info().layers; }
  const LayerForm& form() const { return form_; }
  const std::vector<Ids>& texts() const { return texts_; }
  const HostTensor& ids() const { return ids_; }        ///< [B, S]
  const Trace& reference() const { return reference_; } ///< of every module, whole layers too
  const HostTensor& logits() const { return logits_; }  ///< the reference's, [B, S, V]
  /// What rounds nothing away: largest relative error of a module in full precision.
  double full_limit() const;

  /// Compares logits [B, S, V], or of texts one after the other, with the reference's.
  Agreement judge(const HostTensor& logits) const;
  /// Teacher forcing of a model on the texts, by decode alone: work of `runs`.
  Agreement force(nn::CausalLM& device, std::int64_t runs, const std::string& doing);

  /// Adds work that has become known, in runs of one module over the texts.
  void plan(std::int64_t runs) { planned_ += runs; }
  void advance(std::int64_t runs, const std::string& doing);

 private:
  void add_whole_layers();
  void add_rope();

  const Inputs& inputs_;
  const Options& options_;
  std::vector<Ids> texts_;
  HostTensor ids_;
  LayerForm form_;
  Trace reference_;
  HostTensor logits_;
  std::int64_t planned_ = 0;
  std::int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

} // namespace tessera::bringup::bisect
