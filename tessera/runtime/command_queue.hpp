#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tessera/runtime/observer.hpp"
#include "tessera/runtime/program.hpp"
#include "tessera/runtime/trace.hpp"

namespace tessera::runtime {

/// Runs commands in order, asynchronously, on a thread of its own that is one of the device's worker threads.
///
/// `enqueue` returns at once. The first command that fails ends the work: what follows is dropped until `synchronize`
/// rethrows the error, after which the queue is usable again. Enqueueing and observers are for one host thread at a
/// time.
class CommandQueue {
 public:
  /// What a device's options come to for one of its queues.
  struct Options {
    int id = 0;
    std::int64_t chips = 0;
    std::int64_t first_local_chip = 0; ///< of this rank
    std::int64_t local_chips = 0;
    int threads = 1;
    int processor = -1;       ///< to which the queue's thread is bound; -1: to none
    bool record_only = false; ///< nothing runs: observers see the records, and that is all
  };
  CommandQueue(MeshDevice& device, const Options& options);
  /// Ends the program that runs and drops the rest. REQUIRES: no other queue waits for this one: call `stop` on both.
  ~CommandQueue();
  CommandQueue(const CommandQueue&) = delete;
  CommandQueue& operator=(const CommandQueue&) = delete;

  /// Queues a program. `make_record` returns its OpRecord and is called, here, only when somebody observes or a trace
  /// is captured.
  template <typename MakeRecord>
  void enqueue(Program program, MakeRecord&& make_record) {
    if (observed() || capture_ != nullptr) {
      OpRecord record = make_record();
      record.name = program.name;
      record.scope = program.scope;
      program.record = std::make_shared<const OpRecord>(std::move(record));
    }
    submit(std::move(program));
  }
  /// Queues all programs of a trace.
  void enqueue_replay(std::shared_ptr<const TracePrograms> trace);
  /// Queues a wait until another queue has ended its first `number` commands.
  void enqueue_wait(CommandQueue& other, std::uint64_t number);

  /// Waits until all queued work has ended; rethrows the first error as DeviceError with the op's name.
  void synchronize();
  /// The same for the first `number` commands.
  void synchronize(std::uint64_t number);
  /// Waits until all queued work has ended or was dropped. REQUIRES: not on the queue's own thread.
  void drain() { wait_until_ended(submitted_); }
  bool on_own_thread() const { return std::this_thread::get_id() == dispatcher_.get_id(); }

  /// From here on programs go into the trace in place of running, until null is set.
  void set_capture(TracePrograms* capture) { capture_ = capture; }
  bool capturing() const { return capture_ != nullptr; }
  /// Throws InvalidArgument, naming what was tried, while a trace is captured.
  void require_no_capture(std::string_view tried) const;

  /// Waits for queued work, then adds or removes an observer. The observer must outlive its place in the queue.
  void add_observer(QueueObserver& observer);
  void remove_observer(QueueObserver& observer);
  bool observed() const { return !observers_.empty(); }

  int id() const { return id_; }
  int threads() const { return threads_; }
  /// Commands taken so far.
  std::uint64_t submitted() const { return submitted_; }

  /// Wakes the queue's thread and lets it end after the program that it runs.
  void stop();
  /// Waits for the end of its thread, which may use other queues until then. REQUIRES: stop was called.
  void join();

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  struct Command {
    Program program;
    std::shared_ptr<const TracePrograms> replay; // in place of a program
    CommandQueue* awaited = nullptr;             // a wait, in place of a program
    std::uint64_t number = 0;                    // what is awaited, or the number of the replay
  };
  /// Commands that were dropped after a failure: from `first` on, up to and with `last`.
  struct Dropped {
    std::uint64_t first;
    std::uint64_t last;
  };

  void submit(Program program);
  void push(Command command);
  void record_only(const Command& command);
  void dispatch();
  bool take(std::vector<Command>& batch);
  void run(const Command& command);
  void run_wait(const Command& command);
  /// `done` says what is known of the run beforehand.
  void run_program(const Program& program, ProgramRun done);
  void execute_stages(const Program& program, base::WorkTimes* times);
  void end_command();
  void notify_observers(const OpRecord& record, const ProgramRun& run);
  void wait_until_ended(std::uint64_t number);
  bool was_dropped(std::uint64_t number);
  std::byte* scratch(std::int64_t bytes);

  MeshDevice& device_;
  const int id_;
  const std::int64_t chips_;
  const std::int64_t first_local_chip_;
  const std::int64_t local_chips_;
  const int threads_;
  const int processor_;
  const bool record_only_;
  std::vector<QueueObserver*> observers_; // changed only while the queue is idle
  TracePrograms* capture_ = nullptr;      // host thread only
  std::uint64_t submitted_ = 0;           // host thread only
  std::int64_t replays_ = 0;              // host thread only

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable progress_;
  std::vector<Command> pending_;         // guarded by mutex_
  std::exception_ptr error_;             // guarded by mutex_
  std::vector<Dropped> dropped_;         // guarded by mutex_
  std::atomic<std::uint64_t> posted_{0}; // commands ever pushed: what the idle dispatcher spins on
  std::atomic<std::uint64_t> ended_{0};  // commands ended or dropped
  std::atomic<int> waiters_{0};          // threads that sleep until ended_ moves
  std::atomic<bool> failed_{false};      // what comes is dropped
  std::atomic<bool> stopping_{false};

  std::unique_ptr<Channel> channel_;         // dispatcher only; null for the only rank
  base::WorkTimes times_;                    // dispatcher only
  std::unique_ptr<std::byte, Free> scratch_; // dispatcher only
  std::int64_t scratch_bytes_ = 0;
  std::thread dispatcher_;
};

} // namespace tessera::runtime
