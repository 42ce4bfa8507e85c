#include "tessera/bringup/ops/op_comparison.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::bringup {

OpComparison::OpComparison(OpComparisonOptions options) : options_(std::move(options)) {
  base::require<base::Unsupported>(
      reference::available(),
      "[compare-ops] the reference's ops need libtorch; Tessera was built without it; install libtorch-dev and "
      "libopenblas0-pthread and build again");
  base::require(options_.strictness > 0.0, "[compare-ops] strictness must be positive; received {}",
                options_.strictness);
}

void OpComparison::before(runtime::MeshDevice& device, const OpRecord& record) {
  if (!reference::has_golden(record.name)) return;
  Pending pending{.record = &record};
  try {
    pending.capture.emplace(device, record);
  } catch (const base::Error& error) {
    pending.failure = error.what();
  }
  const std::lock_guard lock(mutex_);
  pending_[std::this_thread::get_id()] = std::move(pending);
}

void OpComparison::after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) {
  if (run.kind != runtime::ProgramKind::OP) return;
  Pending pending;
  {
    const std::lock_guard lock(mutex_);
    pending = std::exchange(pending_[std::this_thread::get_id()], {});
  }
  if (pending.record != &record) return skip(record, "it has no golden function");
  if (!pending.capture) return skip(record, pending.failure);
  try {
    judge_all(device, record, pending.capture->finish(device, record));
  } catch (const base::Error& error) {
    skip(record, error.what());
  }
}

void OpComparison::judge_all(const runtime::MeshDevice& device, const OpRecord& record, std::vector<OpCase> cases) {
  std::size_t worst = 0;
  OpFigures figures;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    OpFigures own = judge(cases[i], options_.strictness);
    const bool worse = own.passed != figures.passed ? figures.passed : own.severity() > figures.severity();
    if (i > 0 && !worse) continue;
    worst = i;
    figures = std::move(own);
  }
  take({.name = record.name, .scope = record.scope, .device = device.name(), .figures = std::move(figures)},
       cases[worst]);
}

void OpComparison::take(OpRow row, const OpCase& op) {
  const std::lock_guard lock(mutex_);
  row.number = ++compared_;
  Kind& kind = kinds_[row.name];
  ++kind.count;
  const bool first_of_kind = kind.count == 1;
  const bool passed = row.figures.passed;
  if (!passed) ++kind.below;
  if (first_of_kind || row.figures.severity() > kind.worst.figures.severity()) kind.worst = row;
  if (options_.keep_rows) rows_.push_back(row);
  if (passed) return;
  if (++below_ > 1) return;
  first_below_ = row;
  if (!options_.folder) return;
  const std::filesystem::path path = *options_.folder / fmt::format("op-{}-{}.safetensors", row.number, row.name);
  try {
    std::error_code error; // write_safetensors says what is wrong
    std::filesystem::create_directories(*options_.folder, error);
    save_case(path, op);
    saved_ = path;
  } catch (const base::Error& error) {
    save_failure_ = error.what();
  }
}

void OpComparison::skip(const OpRecord& record, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  ++skipped_[fmt::format("{}: {}", record.name, reason)];
}

} // namespace tessera::bringup
