#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/communicator.hpp"

namespace tessera::test {

/// Ranks that are threads of this process: what they send lies in boxes until the other takes it.
class ThreadRanks {
 public:
  explicit ThreadRanks(int ranks) : ranks_(ranks) {}

  /// Runs body(communicator) as each rank, and rethrows the first error.
  void run(const std::function<void(const std::shared_ptr<runtime::Communicator>&)>& body) {
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks_));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks_; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          body(std::make_shared<Rank>(*this, rank));
        } catch (...) {
          errors[static_cast<std::size_t>(rank)] = std::current_exception();
          std::lock_guard lock(mutex_);
          lost_ = true;
          arrived_.notify_all();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors) {
      if (error != nullptr) std::rethrow_exception(error);
    }
  }
  /// Bytes that ranks have sent.
  std::int64_t sent_bytes() const { return sent_bytes_; }

 private:
  using Address = std::tuple<int, int, int>; // channel, from, to

  class Way : public runtime::Channel {
   public:
    Way(ThreadRanks& all, int number, int rank) : all_(all), number_(number), rank_(rank) {}
    void exchange(const runtime::Messages& messages, const std::atomic<bool>& stop) override {
      std::unique_lock lock(all_.mutex_);
      for (const runtime::Message& message : messages.sends) {
        all_.boxes_[{number_, rank_, message.rank}].emplace_back(message.data, message.data + message.bytes);
        all_.sent_bytes_ += message.bytes;
      }
      all_.arrived_.notify_all();
      for (const runtime::Message& message : messages.receives) {
        auto& box = all_.boxes_[{number_, message.rank, rank_}];
        while (box.empty()) {
          base::require<base::DeviceError>(!stop && !all_.lost_, "[exchange] rank {} is lost", message.rank);
          all_.arrived_.wait_for(lock, std::chrono::milliseconds(10));
        }
        base::require<base::DeviceError>(std::ssize(box.front()) == message.bytes, "[exchange] {} bytes came, not {}",
                                         box.front().size(), message.bytes);
        std::copy(box.front().begin(), box.front().end(), message.data);
        box.pop_front();
      }
    }

   private:
    ThreadRanks& all_;
    int number_;
    int rank_;
  };

  class Rank : public runtime::Communicator {
   public:
    Rank(ThreadRanks& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int ranks() const override { return all_.ranks_; }
    int ranks_of_host() const override { return all_.ranks_; }
    int place_on_host() const override { return rank_; }
    std::unique_ptr<runtime::Channel> open_channel() override {
      return std::make_unique<Way>(all_, channels_++, rank_);
    }
    void require_same(const std::vector<std::pair<std::string, std::string>>&) override {}

   private:
    ThreadRanks& all_;
    int rank_;
    int channels_ = 0;
  };

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<Address, std::deque<std::vector<std::byte>>> boxes_;
  bool lost_ = false;
  std::int64_t sent_bytes_ = 0;
};

} // namespace tessera::test
