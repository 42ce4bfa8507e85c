#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tessera::mpi {

/// A file descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  int number() const { return number_; }

 private:
  int release();

  int number_;
};

/// Where a rank listens: what the others need to reach it, as one word of text.
class Listener {
 public:
  /// Throws IoError when the system has no socket.
  Listener();
  const std::string& address() const { return address_; }
  int socket() const { return socket_.number(); }
  std::uint64_t secret() const { return secret_; }

 private:
  Descriptor socket_;
  std::uint64_t secret_ = 0; ///< strangers do not know it
  std::string address_;
};

/// Tells when another rank ends: a connection to each, which the system closes with the process, however it dies, and
/// signs of life for when a host falls silent. MPI by itself may wait for ever then.
class Watch {
 public:
  struct Times {
    std::chrono::milliseconds beat{1000};     ///< between signs of life
    std::chrono::milliseconds silence{8000};  ///< after which a rank counts as lost
    std::chrono::milliseconds own_error{300}; ///< that a rank has to tell its own error before another's is told
    std::chrono::milliseconds connect{10000}; ///< for all ranks to connect
  };
  /// Told once, on a thread of its own, what has happened to which rank.
  using OnLost = std::function<void(const std::string&)>;

  /// Connects to all other ranks; `addresses` are those of all ranks' listeners. Throws IoError when one cannot be
  /// reached.
  Watch(const Listener& listener, int rank, const std::vector<std::string>& addresses, OnLost on_lost,
        const Times& times);
  Watch(const Listener& listener, int rank, const std::vector<std::string>& addresses, OnLost on_lost)
      : Watch(listener, rank, addresses, std::move(on_lost), Times{}) {}
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Whether a rank is lost: it died, fell silent or failed.
  bool lost() const { return lost_; }
  /// What has happened, naming the rank.
  std::string reason() const;
  /// Whether a rank has said that it is done, for at least `ago`.
  bool has_left(int rank, std::chrono::milliseconds ago) const;

  /// Tells the others that this rank is done.
  void leave();
  /// Tells the others that this rank ends with an error.
  void fail(std::string_view reason);

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    Descriptor socket;
    std::string received; ///< of a frame that is not whole yet
    Clock::time_point heard;
    std::atomic<Clock::rep> left{0}; ///< when it said so; 0: not yet
  };

  void connect_to(int peer, const std::string& address, Clock::time_point give_up);
  void accept_others(const Listener& listener, Clock::time_point give_up);
  void send_frame(Peer& peer, std::string_view frame);
  void send_to_all(std::string_view frame);
  void watch();
  void listen_to(int peer);
  void read_frames(int peer);
  void lose(int peer, std::string_view what, bool has_error);

  const int rank_;
  const Times times_;
  OnLost on_lost_;
  std::vector<Peer> peers_; ///< by rank; this rank's own stays empty
  Descriptor wake_;
  mutable std::mutex mutex_;
  std::string reason_; ///< guarded by mutex_
  std::atomic<bool> lost_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

} // namespace tessera::mpi
