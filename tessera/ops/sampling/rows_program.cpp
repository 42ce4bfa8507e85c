#include "tessera/ops/sampling/rows_program.hpp"

#include <algorithm>
#include <memory>

namespace tessera::ops {
namespace {

/// Blocks of one unit: 8192 logits, enough to outweigh handing it out.
constexpr std::int64_t kBlocksOfUnit = 128;

class Rows {
 public:
  Rows(const Tensor& x, RowWork work)
      : view_(x.view()),
        rows_(x.shape()[-2]),
        width_(x.shape()[-1]),
        all_(x.spec().num_matrices() * rows_),
        work_(std::move(work)) {}

  std::int64_t count() const { return all_; }
  std::int64_t blocks() const { return div_up(width_, kLogitsBlock); }
  std::int64_t units_of_row() const { return div_up(blocks(), kBlocksOfUnit); }

  /// Units: a part of a row each.
  void find(const runtime::Unit& unit) const {
    const std::int64_t row = unit.index / units_of_row();
    if (skipped(unit.chip, row)) return;
    const std::int64_t first = unit.index % units_of_row() * kBlocksOfUnit;
    const std::int64_t count = std::min(kBlocksOfUnit, blocks() - first);
    find_maxima(logits(unit.chip, row), first,
                maxima(unit, row).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
  }
  /// Units: a row each.
  void work(const runtime::Unit& unit) const {
    const std::int64_t row = unit.index;
    if (!skipped(unit.chip, row)) work_.body(unit.chip, row, logits(unit.chip, row), maxima(unit, row));
  }

 private:
  bool skipped(std::int64_t chip, std::int64_t row) const { return work_.skip && work_.skip(chip, row); }
  LogitsRow logits(std::int64_t chip, std::int64_t row) const {
    return {view_.tiles(chip, row / rows_), row % rows_, width_};
  }
  /// In the program's scratch memory.
  std::span<float> maxima(const runtime::Unit& unit, std::int64_t row) const {
    return {reinterpret_cast<float*>(unit.scratch) + row * blocks(), static_cast<std::size_t>(blocks())};
  }

  DeviceView view_;
  std::int64_t rows_; // of a matrix
  std::int64_t width_;
  std::int64_t all_;
  RowWork work_;
};

} // namespace

runtime::Program rows_program(std::string_view name, const Tensor& x, RowWork work) {
  const auto rows = std::make_shared<const Rows>(x, std::move(work));
  runtime::Program program{.name = name,
                           .scratch_bytes = rows->count() * rows->blocks() * static_cast<std::int64_t>(sizeof(float))};
  const std::int64_t units = rows->units_of_row();
  if (units == 1) {
    program.stages.push_back({rows->count(), [rows](const runtime::Unit& unit) {
                                rows->find(unit);
                                rows->work(unit);
                              }});
  } else {
    program.stages.push_back({rows->count() * units, [rows](const runtime::Unit& unit) { rows->find(unit); }});
    program.stages.push_back({rows->count(), [rows](const runtime::Unit& unit) { rows->work(unit); }});
  }
  return program;
}

} // namespace tessera::ops
