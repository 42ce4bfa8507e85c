#pragma once

#include <limits>
#include <string_view>

namespace tessera::bringup {

/// What a precision must reach. Defaults are those of `accuracy`, where BFP8_b holds the weights.
///
/// A PCC of p leaves an error of about sqrt(2 (1 - p)) of the values' norm. PCC is blind to scale and offset, so each
/// PCC limit brings a limit of twice that on the relative Frobenius error (`max_relative_error`).
struct Thresholds {
  double norm_pcc = 0.9999;  ///< norms, RoPE, embedding: one rounding of inputs and outputs (tt_transformers: rms_norm)
  double module_pcc = 0.999; ///< attention, LM head
  double mlp_pcc = 0.999;    ///< apart, since presets with BFP4_b use it in the MLP
  double layer_pcc = 0.999;  ///< a whole decoder layer: the residual carries most of it
  double hidden_pcc = 0.998; ///< the residual stream after any number of layers
  double logits_pcc = 0.998;
  double logits_max_abs_error = std::numeric_limits<double>::infinity();
  double top1 = 0.96; ///< share of positions whose best token is the reference's, teacher-forced
  double top5 = 0.995;
  double perplexity_factor = 1.5; ///< of the device's own text, against that of the reference's text

  /// The limit for a module by its name in `CausalLM::run_module`.
  double pcc_of(std::string_view module) const;
};

/// The limits of a preset. A JSON file's weights may be anything: it is held to those of `accuracy`.
Thresholds thresholds_for(std::string_view precision);

/// The same for classifiers, whose errors grow with each of their many layers of rounded images or tokens: what comes
/// out of the model is held to less than what comes out of a module.
Thresholds classifier_thresholds_for(std::string_view precision);

/// Largest relative Frobenius error allowed beside a PCC of at least `pcc`.
double max_relative_error(double pcc);

} // namespace tessera::bringup
