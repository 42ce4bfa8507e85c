#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tessera/bringup/ops/op_capture.hpp"
#include "tessera/bringup/ops/op_case.hpp"
#include "tessera/runtime/observer.hpp"

namespace tessera::bringup {

/// One op that ran, beside the reference's op on the same inputs: its own, local error.
struct OpRow {
  std::int64_t number = 0; ///< of the ops compared, from 1, in the order in which they were judged
  std::string name;        ///< the record's
  std::string scope;
  std::string device; ///< MeshDevice::name
  OpFigures figures;  ///< of its worst output on its worst chip
};

struct OpComparisonOptions {
  /// Where the first op below its threshold is saved, as op-<number>-<name>.safetensors; none: it is not.
  std::optional<std::filesystem::path> folder;
  bool keep_rows = true;   ///< false: of a long run the worst row of each kind alone
  double strictness = 1.0; ///< limits are divided by it
};

/// Runs, after each op of the devices that it is added to, the reference's op on the same inputs: the values that the
/// device stored before the op. So each row's error is that op's own, arithmetic and rounding, not what it inherits.
///
/// Sees eager ops and those of replays, on any mesh that one process runs, from several queues and devices at once; it
/// computes on the queue's thread. Transfers and ops without a golden function are left out (`skipped`).
///
/// A cache's blocks that the op does not touch are not looked at.
class OpComparison : public runtime::QueueObserver {
 public:
  /// Throws Unsupported in a build without libtorch.
  explicit OpComparison(OpComparisonOptions options = {});

  void before(runtime::MeshDevice& device, const OpRecord& record) override;
  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) override;

  // What follows is for when the devices are idle, or the observer is removed.
  std::int64_t compared() const { return compared_; }
  std::int64_t below() const { return below_; }
  /// In order; empty unless keep_rows.
  const std::vector<OpRow>& rows() const { return rows_; }
  /// By the ops' names: how many there were, and the one nearest to its limit or furthest beyond.
  struct Kind {
    std::int64_t count = 0;
    std::int64_t below = 0;
    OpRow worst;
  };
  const std::map<std::string, Kind>& kinds() const { return kinds_; }
  /// The first op below its threshold, and the file that holds it (empty without a folder).
  const std::optional<OpRow>& first_below() const { return first_below_; }
  const std::filesystem::path& saved() const { return saved_; }
  /// Why that file could not be written; empty: it could.
  const std::string& save_failure() const { return save_failure_; }
  /// Ops that were not compared, and why: "name: reason".
  const std::map<std::string, std::int64_t>& skipped() const { return skipped_; }

 private:
  struct Pending {
    const OpRecord* record = nullptr;
    std::optional<OpCapture> capture;
    std::string failure;
  };
  void judge_all(const runtime::MeshDevice& device, const OpRecord& record, std::vector<OpCase> cases);
  void take(OpRow row, const OpCase& op);
  void skip(const OpRecord& record, const std::string& reason);

  const OpComparisonOptions options_;
  std::mutex mutex_;                           // guards all below
  std::map<std::thread::id, Pending> pending_; // what each queue's thread is at
  std::int64_t compared_ = 0;
  std::int64_t below_ = 0;
  std::vector<OpRow> rows_;
  std::map<std::string, Kind> kinds_;
  std::optional<OpRow> first_below_;
  std::filesystem::path saved_;
  std::string save_failure_;
  std::map<std::string, std::int64_t> skipped_;
};

} // namespace tessera::bringup
