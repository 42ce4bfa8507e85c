#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera::bringup {

/// A limit that a figure must keep to.
struct Bound {
  enum class Kind { AT_LEAST, AT_MOST };
  Kind kind = Kind::AT_LEAST;
  double limit = 0.0;
};

/// A measured number: "pcc", "max_abs_error", "relative_frobenius_error", "top1", "top5", "kl_divergence", "loss", ...
/// Units stand in the name. NaN keeps no bound.
struct Figure {
  std::string name;
  double value = 0.0;
  std::optional<Bound> bound;

  bool holds() const;
};

/// The row of the stage performance that says how fast this host was; its others are the same in equal runs.
inline constexpr const char* kMeasuredHere = "measured on this host";

/// What was found about one module.
struct Row {
  std::string module; ///< "layers.3.mlp", "logits", "prompt 0"
  std::vector<Figure> figures;
  bool passed = true;
  std::string advice; ///< the next thing to try; empty when passed
  std::vector<std::string> notes;
};

/// NOT_RUN: interrupted, or not reached.
enum class Verdict { PASSED, FAILED, SKIPPED, NOT_RUN };

struct StageResult {
  std::string name;
  Verdict verdict = Verdict::NOT_RUN;
  std::string message; ///< why the stage was skipped, or the error that ended it
  std::vector<Row> rows;
  double time_s = 0.0;
  bool resumed = false; ///< taken over from an earlier run
};

/// The outcome of a bring-up.
struct Report {
  std::string key; ///< hash of all that the results depend on, wherever the checkpoint lies
  /// Names the checkpoint's files as they lay: an earlier run's stages count only under the same key and the same
  /// files.
  std::string files{};
  std::vector<std::pair<std::string, std::string>> facts; ///< checkpoint, board, precision, numerics, reference, ...
  std::vector<StageResult> stages;
  bool classifier = false; ///< of images or texts; else a language model

  /// At least one stage passed, none failed and all were run or skipped with a reason.
  bool passed() const;
};

/// "passed", "failed", "skipped", "not run"
std::string to_string(Verdict verdict);
/// "pcc 0.981 must be at least 0.999": the first figure of a row that breaks its bound; empty when none does.
std::string failure_text(const Row& row);

/// A figure's name as a heading, shortened where it is long: "rel. Frob.".
std::string figure_title(const std::string& figure);
/// Its value with as many digits as it is worth: PCC with six decimals, shares as percent.
std::string figure_text(const std::string& figure, double value);

/// A table for a terminal: a block for each stage, advice below each failing row, the verdict last.
std::string to_table(const Report& report);
/// Keys as the members above; a figure that is not finite is the string "inf", "-inf" or "nan".
nlohmann::json to_json(const Report& report);
/// The inverse. Throws InvalidArgument when `json` was not made by `to_json`.
Report report_from_json(const nlohmann::json& json);
/// JUnit XML: a test suite for each stage, a test case for each row.
std::string to_junit(const Report& report);

} // namespace tessera::bringup
