#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera::bringup {

/// How much worse a figure may be before it is a regression. Figures that are the same bits in equal runs are held
/// tightly; times never count unless they are asked for.
struct CompareOptions {
  double pcc = 1e-6;      ///< PCC may fall by so much
  double relative = 1e-3; ///< errors, divergences, losses and perplexities may grow, predicted speeds fall by this part
  double share = 1e-9;    ///< top-1, top-5 and other shares and counts may fall by so much
  double time = 0.0;      ///< speeds of this host may fall, times grow by this part; 0: they are told, no regressions
};

/// What is other in the second run.
struct Change {
  enum class Kind { FACT, VERDICT, FIGURE, TIME, TEXT, ROW, FILE };
  Kind kind = Kind::FIGURE;
  std::string stage;
  std::string module; ///< or the file's name; empty: the stage as a whole
  std::string figure; ///< or the fact's name
  std::string before;
  std::string after;
  bool worse = false; ///< a regression
};

struct Comparison {
  bool same_key = true; ///< both runs are of the same checkpoint, precision, numerics, board, texts and settings
  std::vector<Change> facts;
  std::vector<Change> changes;

  bool regressed() const;
  bool nothing_changed() const; ///< but for times
};

/// Sets the second run's report and generated texts beside the first's; what only the first has is a regression. Throws
/// IoError when a folder has no usable bringup.json, InvalidArgument for tolerances that are not finite.
Comparison compare_runs(const std::filesystem::path& first, const std::filesystem::path& second,
                        const CompareOptions& options);

/// For a terminal: keys first, then what is worse, then what else changed; the verdict last.
std::string to_table(const Comparison& comparison);
nlohmann::json to_json(const Comparison& comparison);

} // namespace tessera::bringup
