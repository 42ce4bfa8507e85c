#include "tessera/runtime/command_queue.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::runtime {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kScratchAlignment = 64;
// A queue that has run dry looks this often for the next command before it sleeps, as the pool's workers do; where all
// threads have work of other queues it sleeps at once.
constexpr int kSpins = 5000;

std::exception_ptr failure(std::string_view place, std::string_view cause) {
  return std::make_exception_ptr(
      base::DeviceError(fmt::format("[{}] queued work must not fail; it did: {}", place, cause)));
}

const OpRecord& wait_record() {
  static const OpRecord record{.name = "wait_for_event"};
  return record;
}

} // namespace

std::string place_of(const Program& program) {
  return program.scope.empty() ? std::string(program.name) : fmt::format("{} in {}", program.name, program.scope);
}

void CommandQueue::Free::operator()(std::byte* memory) const {
  std::free(memory);
}

CommandQueue::CommandQueue(MeshDevice& device, const Options& options)
    : device_(device),
      id_(options.id),
      chips_(options.chips),
      first_local_chip_(options.first_local_chip),
      local_chips_(options.local_chips),
      threads_(options.threads),
      processor_(options.processor),
      record_only_(options.record_only) {
  if (device.communicator() != nullptr) channel_ = device.communicator()->open_channel();
  if (!record_only_) dispatcher_ = std::thread([this] { dispatch(); });
}

CommandQueue::~CommandQueue() {
  stop();
  join();
}

void CommandQueue::join() {
  if (dispatcher_.joinable()) dispatcher_.join();
}

void CommandQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  progress_.notify_all();
}

void CommandQueue::require_no_capture(std::string_view tried) const {
  base::require(capture_ == nullptr,
                "[{}] queue {} captures trace {}: only ops may be enqueued until its end; do this before "
                "begin_trace_capture or after end_trace_capture, on tensors that the trace uses",
                tried, id_, capture_ == nullptr ? 0 : capture_->id);
}

void CommandQueue::submit(Program program) {
  device_.submeshes_.require_none(program.name, device_.name());
  if (capture_ != nullptr) {
    if (program.kind != ProgramKind::OP) require_no_capture(program.name);
    base::require(program.key == 0 || device_.program_cache().contains(program.key),
                  "[{}] an op must have run with these shapes before it is captured, so that its program is in the "
                  "card's cache; trace {} found none; run the step once before begin_trace_capture",
                  place_of(program), capture_->id);
    capture_->programs.push_back(std::move(program));
    return;
  }
  if (program.key != 0) device_.program_cache().insert(program.key);
  push({.program = std::move(program)});
}

void CommandQueue::enqueue_replay(std::shared_ptr<const TracePrograms> trace) {
  device_.submeshes_.require_none("execute_trace", device_.name());
  require_no_capture("execute_trace");
  push({.replay = std::move(trace), .number = static_cast<std::uint64_t>(++replays_)});
}

void CommandQueue::enqueue_wait(CommandQueue& other, std::uint64_t number) {
  require_no_capture("wait_for_event");
  push({.awaited = &other, .number = number});
}

void CommandQueue::push(Command command) {
  ++submitted_;
  if (record_only_) return record_only(command);
  {
    std::lock_guard lock(mutex_);
    pending_.push_back(std::move(command));
    posted_.store(submitted_, std::memory_order_release);
  }
  work_.notify_one();
}

void CommandQueue::record_only(const Command& command) {
  ended_ = submitted_;
  if (!observed() || command.awaited != nullptr) return;
  const auto show = [this](const OpRecord& record, const ProgramRun& run) {
    for (QueueObserver* observer : observers_) observer->before(device_, record);
    notify_observers(record, run);
  };
  if (command.replay == nullptr)
    return show(
        *command.program.record,
        {.kind = command.program.kind, .queue = id_, .circular_buffer_bytes = command.program.circular_buffer_bytes});
  ProgramRun run{.queue = id_, .replay = static_cast<std::int64_t>(command.number), .trace = command.replay->id};
  for (const Program& program : command.replay->programs) {
    run.kind = program.kind;
    run.circular_buffer_bytes = program.circular_buffer_bytes;
    show(*program.record, run);
    ++run.place;
  }
  show(command.replay->record, {.kind = ProgramKind::REPLAY, .queue = id_, .replay = run.replay});
}

void CommandQueue::dispatch() {
  if (processor_ >= 0) base::pin_this_thread(processor_);
  std::vector<Command> batch; // changes places with pending_, so that both keep their capacity
  while (take(batch)) {
    for (Command& command : batch) {
      if (stopping_) return;
      if (!failed_) run(command);
      command = {};
      end_command();
    }
    batch.clear();
  }
}

bool CommandQueue::take(std::vector<Command>& batch) {
  const std::uint64_t seen = ended_.load(std::memory_order_relaxed);
  const base::ThreadPool& pool = base::ThreadPool::shared();
  for (int spin = 0; spin < kSpins && posted_.load(std::memory_order_acquire) == seen && !stopping_ && !pool.is_full();
       ++spin)
    base::spin_pause();
  std::unique_lock lock(mutex_);
  work_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
  std::swap(pending_, batch);
  return !stopping_;
}

void CommandQueue::run(const Command& command) {
  std::exception_ptr error;
  const Program* program = &command.program; // that runs, for the error
  try {
    if (command.awaited != nullptr) {
      run_wait(command);
    } else if (command.replay == nullptr) {
      run_program(command.program, {});
    } else {
      const Clock::time_point begin = observed() ? Clock::now() : Clock::time_point{};
      const auto number = static_cast<std::int64_t>(command.number);
      ProgramRun run{.replay = number, .trace = command.replay->id};
      for (const Program& replayed : command.replay->programs) {
        if (stopping_) return;
        program = &replayed;
        run_program(replayed, run);
        ++run.place;
      }
      if (observed())
        notify_observers(
            command.replay->record,
            {.kind = ProgramKind::REPLAY, .queue = id_, .replay = number, .begin = begin, .end = Clock::now()});
    }
  } catch (const std::exception& cause) {
    error = command.awaited != nullptr ? std::current_exception() : failure(place_of(*program), cause.what());
  } catch (...) {
    error = failure(place_of(*program), "an exception of unknown type");
  }
  if (error == nullptr) return;
  std::lock_guard lock(mutex_);
  error_ = error;
  dropped_.push_back({ended_ + 1, ~std::uint64_t{0}});
  failed_ = true;
}

void CommandQueue::run_wait(const Command& command) {
  const Clock::time_point begin = observed() ? Clock::now() : Clock::time_point{};
  command.awaited->wait_until_ended(command.number);
  base::require<base::DeviceError>(
      stopping_ || !command.awaited->was_dropped(command.number),
      "[wait_for_event] queue {} waits for event {} of queue {}, which can never come: the event was recorded after "
      "work that failed; synchronize queue {} for its error, then record the event again",
      id_, command.number, command.awaited->id_, command.awaited->id_);
  if (observed())
    notify_observers(wait_record(), {.kind = ProgramKind::WAIT, .queue = id_, .begin = begin, .end = Clock::now()});
}

void CommandQueue::run_program(const Program& program, ProgramRun done) {
  if (observers_.empty() || program.record == nullptr) {
    execute_stages(program, nullptr);
    return;
  }
  for (QueueObserver* observer : observers_) observer->before(device_, *program.record);
  done.kind = program.kind;
  done.queue = id_;
  done.circular_buffer_bytes = program.circular_buffer_bytes;
  times_.spans.clear();
  done.begin = times_.now = Clock::now();
  execute_stages(program, &times_);
  done.end = times_.now;
  done.spans = times_.spans;
  notify_observers(*program.record, done);
}

void CommandQueue::notify_observers(const OpRecord& record, const ProgramRun& run) {
  for (QueueObserver* observer : observers_) observer->after(device_, record, run);
}

void CommandQueue::execute_stages(const Program& program, base::WorkTimes* times) {
  if (!program.exchange.empty()) channel_->exchange(program.exchange, stopping_);
  const std::int64_t chip_scratch = round_up(program.scratch_bytes, kScratchAlignment);
  std::byte* const memory = scratch(chip_scratch * chips_);
  for (const Stage& stage : program.stages) {
    const std::int64_t first = stage.of_all_chips ? 0 : first_local_chip_;
    const auto body = [&stage, first, memory, chip_scratch](std::int64_t number) {
      const std::int64_t chip = first + number / stage.units;
      stage.body({.chip = chip, .index = number % stage.units, .scratch = memory + chip * chip_scratch});
    };
    const std::int64_t chips = stage.of_all_chips ? chips_ : local_chips_;
    base::ThreadPool::shared().parallel_for(stage.units * chips, threads_, std::cref(body), times);
  }
}

std::byte* CommandQueue::scratch(std::int64_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_.reset(static_cast<std::byte*>(std::aligned_alloc(kScratchAlignment, static_cast<std::size_t>(bytes))));
    scratch_bytes_ = scratch_ ? bytes : 0;
    base::require<base::OutOfMemory>(scratch_ != nullptr,
                                     "[scratch] {} bytes of host memory are required; the system has none left", bytes);
  }
  return scratch_.get();
}

void CommandQueue::end_command() {
  // A waiter counts itself before it looks at ended_: one of the two sees the other.
  ended_.fetch_add(1);
  if (waiters_ == 0) return;
  std::lock_guard lock(mutex_);
  progress_.notify_all();
}

void CommandQueue::wait_until_ended(std::uint64_t number) {
  if (ended_ >= number) return;
  ++waiters_;
  {
    std::unique_lock lock(mutex_);
    progress_.wait(lock, [&] { return stopping_ || ended_ >= number; });
  }
  --waiters_;
}

bool CommandQueue::was_dropped(std::uint64_t number) {
  std::lock_guard lock(mutex_);
  return std::ranges::any_of(dropped_,
                             [&](const Dropped& range) { return range.first <= number && number <= range.last; });
}

void CommandQueue::synchronize() {
  require_no_capture("synchronize");
  synchronize(submitted_);
}

void CommandQueue::synchronize(std::uint64_t number) {
  wait_until_ended(number);
  if (!failed_) {
    base::require<base::DeviceError>(
        !was_dropped(number),
        "[synchronize] work of queue {} up to command {} was dropped when an earlier command failed; its error was "
        "reported then; queue the work again",
        id_, number);
    return;
  }
  wait_until_ended(submitted_); // drops the rest
  std::unique_lock lock(mutex_);
  const std::exception_ptr error = std::exchange(error_, nullptr);
  if (error == nullptr) return;
  dropped_.back().last = submitted_;
  posted_ = ++submitted_; // an empty command: events from here on are not among the dropped
  ++ended_;
  failed_ = false;
  lock.unlock();
  std::rethrow_exception(error);
}

void CommandQueue::add_observer(QueueObserver& observer) {
  wait_until_ended(submitted_);
  std::unique_lock lock(mutex_);
  observers_.push_back(&observer);
}

void CommandQueue::remove_observer(QueueObserver& observer) {
  wait_until_ended(submitted_);
  std::unique_lock lock(mutex_);
  std::erase(observers_, &observer);
}

} // namespace tessera::runtime
