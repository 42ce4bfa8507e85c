#include "tessera/bringup/advice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "tessera/bringup/l1_watch.hpp"
#include "tessera/bringup/thresholds.hpp"

namespace tessera::bringup {
namespace {

std::optional<double> figure_of(const Row& row, std::string_view name) {
  const auto figure =
      std::find_if(row.figures.begin(), row.figures.end(), [&](const Figure& f) { return f.name == name; });
  if (figure == row.figures.end()) return std::nullopt;
  return figure->value;
}

/// The tensor group of a precision file that governs a module.
std::string_view tensor_group_of(std::string_view module) {
  if (module.ends_with(".attention")) return "wqkv, wo or kv_cache";
  if (module.ends_with(".mlp")) return "ff1_3 or ff2";
  if (module == "lm_head") return "lm_head";
  if (module == "embedding") return "embedding";
  if (module.ends_with("norm")) return "norm or activation";
  if (module.ends_with(".rope")) return "activation";
  return "ff1_3, ff2, wqkv or activation";
}

} // namespace

std::string suspects_of(std::string_view module) {
  if (module == "embedding") return "the embedding's weight name, its row order and any scale after it";
  if (module.ends_with(".rope"))
    return "rope_theta, rope_scaling, the positions, and half-split against interleaved order";
  if (module.ends_with(".attention")) {
    return "the q, k, v and o weights' mapping, biases, head grouping (Hq, Hkv), the scale, the causal mask and "
           "window, "
           "the cache's positions";
  }
  if (module.ends_with(".mlp")) return "gate and up exchanged, the activation function, the weights' transposition";
  if (module.ends_with("norm")) return "rms_norm_eps, the weight's name, and a weight stored as offset from 1";
  if (module == "lm_head") return "tie_word_embeddings, the weight's name, padding of the vocabulary";
  return "its modules one by one: --stages decode-modules,prefill-modules";
}

std::string advice_for_l1(const Row& row) {
  const auto l1 = std::ranges::find(row.figures, kL1Figure, &Figure::name);
  if (l1 == row.figures.end() || l1->holds()) return "";
  return "L1 is too small for an op's circular buffers beside the tensors there: smaller formats (--precision bfp8), "
         "fewer users, or more chips (--tp)";
}

std::string advice_for(const Row& row, std::string_view precision) {
  if (row.passed) return "";
  if (std::string advice = advice_for_l1(row); !advice.empty()) return advice;
  const auto pcc = figure_of(row, "pcc");
  const auto max_abs = figure_of(row, "max_abs_error");
  const auto relative = figure_of(row, "relative_frobenius_error");
  if (max_abs && !std::isfinite(*max_abs)) {
    return "the output is not finite: look for a mask of -inf, an empty row in softmax, or padding that is not zero";
  }
  if (!pcc || *pcc < 0.9) return fmt::format("the result is wrong, not imprecise: check {}", suspects_of(row.module));
  const bool pcc_holds = row.figures.front().name == "pcc" && row.figures.front().holds();
  if (pcc_holds && relative && *relative > max_relative_error(*pcc)) {
    return fmt::format("direction right, size wrong: check a scale, an offset or a residual added twice; then {}",
                       suspects_of(row.module));
  }
  if (precision == "full") {
    return fmt::format("nothing is rounded in full precision: check {}; then the reference itself",
                       suspects_of(row.module));
  }
  return fmt::format(
      "run it with --precision full: if it passes there, give {} a wider format in a precision file; if "
      "not, check {}",
      tensor_group_of(row.module), suspects_of(row.module));
}

} // namespace tessera::bringup
