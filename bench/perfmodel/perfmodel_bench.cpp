// How far the performance model is from the published tables, by group; with --folds also where each fifth of the
// shapes is left out of the fit. --fit prints fitted constants, --svg FILE draws predicted against published.
//
// usage: perfmodel_bench [--folds] [--fit] [--svg FILE] [--verbose]       the tables: $TESSERA_CALIBRATION
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <set>

#include "bench/perfmodel/decode_rows.hpp"
#include "bench/perfmodel/fitting.hpp"
#include "bench/perfmodel/plot.hpp"
#include "tessera/base/file.hpp"
#include "tessera/perfmodel/calibration.hpp"

namespace tessera::bench {
namespace {

using perfmodel::Constants;

/// A row of any table: what it says, what the model says, and what it is left out of a fit with.
struct Point {
  std::string group;
  std::string fold;
  double published_ns = 0;
  std::function<double(const Constants&)> predict_ns;

  double error(const Constants& constants) const { return std::abs(predict_ns(constants) / published_ns - 1); }
  double loss(const Constants& constants) const {
    return std::min(0.7, std::abs(std::log(predict_ns(constants) / published_ns)));
  }
};
using Points = std::vector<Point>;

const std::vector<std::string> kMatmul{"matrix_efficiency",       "tile_overhead_cycles",    "unpack_bytes_per_cycle",
                                       "read_tile_cycles",        "read_bytes_per_cycle",    "block_latency_cycles",
                                       "program_cycles",          "launch_gap_ns",           "drain_bytes_per_s",
                                       "host_call_default_ns",    "host_call_tuned_bf16_ns", "host_call_tuned_bfp8_ns",
                                       "host_call_tuned_bfp4_ns", "untraced_gap_ns"};
const std::vector<std::string> kDecode{"sharded_dram_bytes_per_s",
                                       "decode_tile_cycles",
                                       "decode_matmul_ns",
                                       "attention_chunk_cycles",
                                       "attention_dram_bytes_per_s",
                                       "attention_ns",
                                       "attention_join_ns",
                                       "stream_l1_ns",
                                       "host.step_ns",
                                       "host.logits_ns",
                                       "host.logit_row_ns",
                                       "host.submesh_ns"};

/// Rows that are fitted together, and with what.
struct Part {
  std::string name;
  Points points;
  std::vector<Variable> variables;
  int rounds = 30;
};

double mean_loss(const Points& points, const std::set<std::string>& without, const Constants& constants) {
  double sum = 0;
  double count = 0;
  for (const Point& point : points) {
    if (without.contains(point.fold)) continue;
    sum += point.loss(constants);
    count += 1;
  }
  return count > 0 ? sum / count : 0;
}

Constants fitted(const Part& part, const std::set<std::string>& without, const Constants& start) {
  return fit(start, part.variables, part.rounds,
             [&](const Constants& constants) { return mean_loss(part.points, without, constants); });
}

using Errors = std::map<std::string, std::vector<double>>;

Errors errors_of(const Part& part, const Constants& constants) {
  Errors errors;
  for (const Point& point : part.points) errors[point.group].push_back(point.error(constants));
  return errors;
}

/// Errors of each row under constants that were fitted without its fold.
Errors cross_validated(const Part& part, const Constants& start) {
  std::set<std::string> names;
  for (const Point& point : part.points) names.insert(point.fold);
  std::vector<std::string> folds(names.begin(), names.end());
  std::mt19937 random(1);
  std::ranges::shuffle(folds, random);
  constexpr std::size_t kFolds = 5;
  // From off the mark, or what the start owes to the rows left out would count as foresight.
  Constants away = start;
  for (std::size_t i = 0; i < part.variables.size(); ++i) part.variables[i].in(away) *= i % 2 == 0 ? 1.3 : 1 / 1.3;
  Errors errors;
  for (std::size_t fold = 0; fold < std::min(kFolds, folds.size()); ++fold) {
    std::set<std::string> left_out;
    for (std::size_t i = fold; i < folds.size(); i += kFolds) left_out.insert(folds[i]);
    const Constants constants = fitted(part, left_out, away);
    for (const Point& point : part.points) {
      if (left_out.contains(point.fold)) errors[point.group].push_back(point.error(constants));
    }
  }
  return errors;
}

void print(const Part& part, const Errors& errors, const char* what) {
  std::vector<double> all;
  const auto line = [&](const std::string& name, const std::vector<double>& values) {
    const perfmodel::ErrorSummary summary = perfmodel::summarise(values);
    fmt::print("| {:<48} | {:>4} | {:>6.1f} % | {:>6.1f} % | {:>6.1f} % |\n", name, summary.rows, summary.median * 100,
               summary.p90 * 100, summary.worst * 100);
  };
  fmt::print("\n| {:<48} | rows |   median | 90th of 100 |  worst |\n|---|---|---|---|---|\n",
             fmt::format("{}, {}", part.name, what));
  for (const auto& [group, values] : errors) {
    line(group, values);
    all.insert(all.end(), values.begin(), values.end());
  }
  line("all", all);
}

Point point_of(const perfmodel::MatmulRow& row) {
  const auto& p = row.problem;
  return {row.group, fmt::format("{}x{}x{}", p.m, p.k, p.n), row.published_ns,
          [row](const Constants& constants) { return perfmodel::predict_ns(row, constants); }};
}

Point point_of(const perfmodel::OpRow& row) {
  const std::string shape = to_string(row.record.outputs.front().spec);
  return {row.group, row.record.name + shape, row.published_ns,
          [row](const Constants& constants) { return perfmodel::predict_ns(row, constants); }};
}

std::vector<Part> parts(const std::filesystem::path& folder, const std::filesystem::path& configs) {
  Part wormhole{"matmul, Wormhole", {}, variables("wormhole_b0", kMatmul)};
  wormhole.variables.push_back(variables("wormhole_b0", {"matmul_clock_hz"}).front());
  Part blackhole{"matmul, Blackhole", {}, variables("blackhole", kMatmul)};
  for (const perfmodel::MatmulRow& row : perfmodel::read_matmul_rows(folder))
    (row.board == "n150" ? wormhole : blackhole).points.push_back(point_of(row));
  Part ops{"ops", {}, stream_variables(perfmodel::constants()), 12};
  for (const perfmodel::OpRow& row : perfmodel::read_op_rows(folder)) ops.points.push_back(point_of(row));
  Part decode{"decode", {}, variables("wormhole_b0", kDecode), 20};
  Part prefill{"time to first token",
               {},
               variables("wormhole_b0", {"attention_efficiency", "host.prefill_ns", "host.prefill_chip_ns"}),
               12};
  for (const perfmodel::ModelRow& row : perfmodel::read_model_rows(folder)) {
    const auto recorded = std::make_shared<DecodeRow>(row, configs);
    const std::string fold = row.config + row.board;
    decode.points.push_back({row.group, fold, 1e9 / row.tokens_per_s_user, [recorded](const Constants& constants) {
                               return 1e9 / recorded->predict_tokens_per_s(constants);
                             }});
    prefill.points.push_back({row.group, fold, row.ttft_ms * 1e6, [recorded](const Constants& constants) {
                                return recorded->predict_ttft_ms(constants) * 1e6;
                              }});
  }
  return {std::move(wormhole), std::move(blackhole), std::move(ops), std::move(decode), std::move(prefill)};
}

std::string plot(const std::vector<Part>& all, const Constants& constants) {
  constexpr const char* kColours[] = {"#1f77b4", "#17becf", "#2ca02c", "#d62728", "#ff7f0e"};
  std::vector<Series> series;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Series group{all[i].name, kColours[i], {}};
    for (const Point& point : all[i].points) group.points.emplace_back(point.published_ns, point.predict_ns(constants));
    series.push_back(std::move(group));
  }
  return scatter_svg(series);
}

int run(const std::vector<std::string>& arguments) {
  const auto wanted = [&](const char* flag) { return std::ranges::find(arguments, flag) != arguments.end(); };
  const std::filesystem::path source = TESSERA_SOURCE_DIR;
  const std::vector<Part> all = parts(perfmodel::calibration_folder(source), source / "configs");
  const Constants& constants = perfmodel::constants();
  for (const Part& part : all) {
    print(part, errors_of(part, constants), "fitted");
    if (wanted("--verbose")) {
      for (const Point& point : part.points)
        fmt::print("{} {} published {:.4g} predicted {:.4g} ns\n", point.group, point.fold, point.published_ns,
                   point.predict_ns(constants));
    }
    if (wanted("--folds")) print(part, cross_validated(part, constants), "left out of the fit");
    if (wanted("--fit")) {
      Constants best = fitted(part, {}, constants);
      for (const Variable& variable : part.variables)
        fmt::print("{}.{} = {:.4g}\n", variable.arch, variable.name, variable.in(best));
      print(part, errors_of(part, best), "after this fit");
    }
  }
  if (const auto svg = std::ranges::find(arguments, "--svg"); svg != arguments.end() && svg + 1 != arguments.end())
    base::write_file_atomically(*(svg + 1), plot(all, constants));
  return 0;
}

} // namespace
} // namespace tessera::bench

int main(int argc, char** argv) {
  try {
    return tessera::bench::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
