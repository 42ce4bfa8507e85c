#include "tessera/runtime/command_queue.hpp"

#include <algorithm>
#include <cstdlib>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::runtime {
namespace {

constexpr std::int64_t kScratchAlignment = 64;

std::string place(const Program& program) {
  return program.scope.empty() ? std::string(program.name) : fmt::format("{} in {}", program.name, program.scope);
}

std::exception_ptr failure(const Program& program, std::string_view cause) {
  return std::make_exception_ptr(
      base::DeviceError(fmt::format("[{}] queued work must not fail; it did: {}", place(program), cause)));
}

} // namespace

void CommandQueue::Free::operator()(std::byte* memory) const {
  std::free(memory);
}

CommandQueue::CommandQueue(MeshDevice& device, std::int64_t chips, int threads, bool record_only)
    : device_(device), chips_(chips), threads_(threads), record_only_(record_only) {
  if (!record_only) dispatcher_ = std::thread([this] { dispatch(); });
}

CommandQueue::~CommandQueue() {
  if (!dispatcher_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  dispatcher_.join();
}

void CommandQueue::submit(Program program) {
  if (record_only_) {
    for (QueueObserver* observer : observers_) {
      observer->before(device_, program.record);
      observer->after(device_, program.record, std::chrono::nanoseconds(0));
    }
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (error_) return; // dropped: synchronize tells why
    pending_.push_back(std::move(program));
  }
  work_.notify_one();
}

void CommandQueue::dispatch() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
    if (stopping_) return;
    Program program = std::move(pending_.front());
    pending_.pop_front();
    running_ = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      run(program);
    } catch (const std::exception& cause) {
      error = failure(program, cause.what());
    } catch (...) {
      error = failure(program, "an exception of unknown type");
    }
    program = {};
    lock.lock();
    running_ = false;
    if (error) {
      error_ = error;
      pending_.clear();
    }
    if (pending_.empty()) idle_.notify_all();
  }
}

void CommandQueue::run(const Program& program) {
  if (observers_.empty()) {
    execute_stages(program);
    return;
  }
  for (QueueObserver* observer : observers_) observer->before(device_, program.record);
  const auto begin = std::chrono::steady_clock::now();
  execute_stages(program);
  const auto time = std::chrono::steady_clock::now() - begin;
  for (QueueObserver* observer : observers_) observer->after(device_, program.record, time);
}

void CommandQueue::execute_stages(const Program& program) {
  const std::int64_t chip_scratch = round_up(program.scratch_bytes, kScratchAlignment);
  std::byte* const memory = scratch(chip_scratch * chips_);
  for (const Stage& stage : program.stages) {
    const auto body = [&stage, memory, chip_scratch](std::int64_t number) {
      const std::int64_t chip = number / stage.units;
      stage.body({.chip = chip, .index = number % stage.units, .scratch = memory + chip * chip_scratch});
    };
    base::ThreadPool::shared().parallel_for(stage.units * chips_, threads_, std::cref(body));
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

void CommandQueue::wait_until_idle(std::unique_lock<std::mutex>& lock) {
  idle_.wait(lock, [this] { return pending_.empty() && !running_; });
}

void CommandQueue::synchronize() {
  if (record_only_) return;
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
  if (const std::exception_ptr error = std::exchange(error_, nullptr)) std::rethrow_exception(error);
}

void CommandQueue::add_observer(QueueObserver& observer) {
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
  observers_.push_back(&observer);
}

void CommandQueue::remove_observer(QueueObserver& observer) {
  std::unique_lock lock(mutex_);
  wait_until_idle(lock);
  std::erase(observers_, &observer);
}

} // namespace tessera::runtime
