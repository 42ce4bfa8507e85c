#include "tessera/bringup/thresholds.hpp"

#include <cmath>

namespace tessera::bringup {

double Thresholds::pcc_of(std::string_view module) const {
  if (module.ends_with(".mlp")) return mlp_pcc;
  if (module.ends_with(".attention") || module == "lm_head") return module_pcc;
  if (module.ends_with("norm") || module.ends_with(".rope") || module == "embedding") return norm_pcc;
  return layer_pcc;
}

Thresholds thresholds_for(std::string_view precision) {
  Thresholds limits;
  if (precision == "full") {
    // float32 throughout: what is left is the order of additions, some 1e-6 of the values.
    limits.norm_pcc = limits.module_pcc = limits.mlp_pcc = limits.layer_pcc = 0.999999;
    limits.hidden_pcc = limits.logits_pcc = 0.999999;
    limits.logits_max_abs_error = 1e-3;
    limits.top1 = 0.995;
    limits.top5 = 1.0;
    limits.perplexity_factor = 1.1;
  } else if (precision == "performance") {
    // ff1_3 in BFP4_b with LoFi: three bits of mantissa under a shared exponent are some 10 % of error.
    limits.mlp_pcc = 0.98;
    limits.layer_pcc = 0.99;
    limits.hidden_pcc = limits.logits_pcc = 0.96;
    limits.top1 = 0.85; // tt_transformers: 0.85 to 0.95 for models of 1B to 8B
    limits.top5 = 0.97;
    limits.perplexity_factor = 2.0;
  } else if (precision == "bfp4") {
    limits.norm_pcc = 0.98; // the embedding table too
    limits.module_pcc = limits.mlp_pcc = limits.layer_pcc = 0.97;
    limits.hidden_pcc = limits.logits_pcc = 0.90;
    limits.top1 = 0.75;
    limits.top5 = 0.95;
    limits.perplexity_factor = 4.0;
  }
  return limits;
}

Thresholds classifier_thresholds_for(std::string_view precision) {
  Thresholds limits = thresholds_for(precision);
  if (precision == "full") return limits;
  const bool coarse = precision == "performance" || precision == "bfp4";
  limits.module_pcc = limits.layer_pcc = coarse ? 0.97 : 0.999;
  limits.hidden_pcc = limits.logits_pcc = coarse ? 0.90 : 0.99;
  limits.top1 = coarse ? 0.75 : 0.90;
  limits.top5 = coarse ? 0.90 : 0.95;
  return limits;
}

double max_relative_error(double pcc) {
  return 2.0 * std::sqrt(2.0 * (1.0 - pcc));
}

} // namespace tessera::bringup
