#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tessera::runtime {

/// Bytes for, or from, another rank.
struct Message {
  int rank = 0;
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
};

/// What some ranks send and receive in one go. Every rank lists the messages between two ranks in the same order.
struct Messages {
  std::vector<Message> sends;
  std::vector<Message> receives;

  bool empty() const { return sends.empty() && receives.empty(); }
};

/// A way of a queue's own to the same queue on the other ranks. For one thread at a time.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Returns when all messages have been sent and received. Throws DeviceError, naming the rank, when one is lost; and
  /// when `stop` is set meanwhile, after which the channel is of no more use.
  virtual void exchange(const Messages& messages, const std::atomic<bool>& stop) = 0;
};

/// A process that, with others, runs one program over one mesh. Every rank runs the same host program: the same
/// devices, ops and reads in the same order, each with its own chips.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  /// Ranks that share this host's processors, this one included, and its place among them.
  virtual int ranks_of_host() const = 0;
  virtual int place_on_host() const = 0;
  /// A channel of the same number as the other ranks' that were opened as many calls ago.
  virtual std::unique_ptr<Channel> open_channel() = 0;
  /// Throws InvalidArgument, on every rank, with what differs when a rank has other values than rank 0: what all ranks
  /// must agree about, by name. Called by all ranks.
  virtual void require_same(const std::vector<std::pair<std::string, std::string>>& facts) = 0;
};

} // namespace tessera::runtime
