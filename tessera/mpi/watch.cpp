#include "tessera/mpi/watch.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <sstream>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::mpi {
namespace {

// A frame is a letter, and for an error the length of its text and the text.
constexpr char kBeat = 'H';
constexpr char kLeft = 'B';
constexpr char kError = 'E';
constexpr std::size_t kLongestText = 4096;

struct Hello {
  std::uint64_t secret;
  std::int32_t rank;
};

void require_system(bool good, std::string_view what) {
  base::require<base::IoError>(good, "[mpi] {} is required for the watch over the ranks; the system says: {}", what,
                               std::strerror(errno));
}

/// This host's addresses, loopback last: with several hosts it leads nowhere, with one the others may be down.
std::vector<std::string> own_addresses() {
  std::vector<std::string> addresses;
  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) == 0) {
    for (const ifaddrs* at = interfaces; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_UP) == 0 ||
          (at->ifa_flags & IFF_LOOPBACK) != 0)
        continue;
      char text[INET_ADDRSTRLEN] = {};
      ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr, text, sizeof text);
      addresses.emplace_back(text);
    }
    ::freeifaddrs(interfaces);
  }
  addresses.emplace_back("127.0.0.1");
  return addresses;
}

int milliseconds_until(std::chrono::steady_clock::time_point time) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(time - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(0, left));
}

/// Waits until the socket is ready; false when the time is over.
bool ready(int socket, short events, std::chrono::steady_clock::time_point give_up) {
  pollfd wait{.fd = socket, .events = events, .revents = 0};
  return ::poll(&wait, 1, milliseconds_until(give_up)) == 1;
}

/// A connection, or none when nobody answers there.
Descriptor connect_by(const std::string& address, std::uint16_t port, std::chrono::steady_clock::time_point give_up) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return Descriptor();
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return socket;
  int error = 0;
  socklen_t size = sizeof error;
  if (errno != EINPROGRESS || !ready(socket.number(), POLLOUT, give_up) ||
      ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
    return Descriptor();
  return socket;
}

} // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(number_, other.number_);
  return *this;
}

int Descriptor::release() {
  return std::exchange(number_, -1);
}

Listener::Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t size = sizeof any;
  require_system(socket_.number() >= 0 &&
                     ::bind(socket_.number(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 &&
                     ::listen(socket_.number(), SOMAXCONN) == 0 &&
                     ::getsockname(socket_.number(), reinterpret_cast<sockaddr*>(&any), &size) == 0,
                 "a socket that listens");
  std::random_device random;
  secret_ = std::uint64_t{random()} << 32 | random();
  address_ = fmt::format("{} {}", secret_, ntohs(any.sin_port));
  for (const std::string& address : own_addresses()) address_ += " " + address;
}

Watch::Watch(const Listener& listener, int rank, const std::vector<std::string>& addresses, OnLost on_lost,
             const Times& times)
    : rank_(rank),
      times_(times),
      on_lost_(std::move(on_lost)),
      peers_(addresses.size()),
      wake_(::eventfd(0, EFD_CLOEXEC)) {
  require_system(wake_.number() >= 0, "an event");
  const Clock::time_point give_up = Clock::now() + times_.connect;
  // Lower ranks are called, higher ones call.
  for (int peer = 0; peer < rank_; ++peer) connect_to(peer, addresses[static_cast<std::size_t>(peer)], give_up);
  accept_others(listener, give_up);
  for (Peer& peer : peers_) peer.heard = Clock::now();
  thread_ = std::thread([this] { watch(); });
}

Watch::~Watch() {
  stopping_ = true;
  ::eventfd_write(wake_.number(), 1);
  if (thread_.joinable()) thread_.join();
}

void Watch::connect_to(int peer, const std::string& address, Clock::time_point give_up) {
  std::istringstream words(address);
  Hello hello{.secret = 0, .rank = rank_};
  std::uint16_t port = 0;
  words >> hello.secret >> port;
  for (std::string host; words >> host;) {
    Descriptor socket = connect_by(host, port, give_up);
    if (socket.number() < 0) continue;
    const int at_once = 1;
    ::setsockopt(socket.number(), IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    if (::send(socket.number(), &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) continue;
    // Another process may have that address and port on its own host: only the right one knows the secret and answers.
    std::uint64_t answer = 0;
    if (!ready(socket.number(), POLLIN, give_up) ||
        ::recv(socket.number(), &answer, sizeof answer, 0) != sizeof answer || answer != ~hello.secret)
      continue;
    peers_[static_cast<std::size_t>(peer)].socket = std::move(socket);
    return;
  }
  throw base::IoError(
      fmt::format("[mpi] rank {} must reach rank {}; none of its addresses answers: {}; let the hosts "
                  "reach each other by TCP",
                  rank_, peer, address.substr(address.find(' ') + 1)));
}

void Watch::accept_others(const Listener& listener, Clock::time_point give_up) {
  for (std::size_t waiting = peers_.size() - 1 - static_cast<std::size_t>(rank_); waiting > 0;) {
    base::require<base::IoError>(
        ready(listener.socket(), POLLIN, give_up),
        "[mpi] {} more ranks must reach rank {} within {} s; they did not; let the hosts reach "
        "each other by TCP",
        waiting, rank_, times_.connect.count() / 1000);
    Descriptor socket(::accept4(listener.socket(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    Hello hello{};
    if (socket.number() < 0 || !ready(socket.number(), POLLIN, give_up) ||
        ::recv(socket.number(), &hello, sizeof hello, 0) != sizeof hello || hello.secret != listener.secret())
      continue;
    const std::uint64_t answer = ~hello.secret;
    if (hello.rank <= rank_ || hello.rank >= std::ssize(peers_) ||
        ::send(socket.number(), &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
      continue;
    peers_[static_cast<std::size_t>(hello.rank)].socket = std::move(socket);
    --waiting;
  }
}

std::string Watch::reason() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

bool Watch::has_left(int rank, std::chrono::milliseconds ago) const {
  const Clock::rep left = peers_[static_cast<std::size_t>(rank)].left;
  return left != 0 && Clock::now() - Clock::time_point(Clock::duration(left)) >= ago;
}

void Watch::send_frame(Peer& peer, std::string_view frame) {
  // Frames are few and short: they fit the socket's buffer. Whoever cannot be reached is found out by reading.
  if (peer.socket.number() >= 0) ::send(peer.socket.number(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Watch::send_to_all(std::string_view frame) {
  std::lock_guard lock(mutex_);
  for (Peer& peer : peers_) send_frame(peer, frame);
}

void Watch::leave() {
  send_to_all(std::string(1, kLeft));
}

void Watch::fail(std::string_view reason) {
  const auto size = static_cast<std::uint32_t>(std::min(reason.size(), kLongestText));
  std::string frame(1, kError);
  frame.append(reinterpret_cast<const char*>(&size), sizeof size).append(reason.substr(0, size));
  send_to_all(frame);
}

void Watch::watch() {
  std::vector<pollfd> sockets;
  for (const Peer& peer : peers_) sockets.push_back({.fd = peer.socket.number(), .events = POLLIN, .revents = 0});
  sockets.push_back({.fd = wake_.number(), .events = POLLIN, .revents = 0});
  Clock::time_point next_beat = Clock::now();
  while (!stopping_ && !lost_) {
    if (Clock::now() >= next_beat) {
      send_to_all(std::string(1, kBeat));
      next_beat = Clock::now() + times_.beat;
    }
    ::poll(sockets.data(), sockets.size(), milliseconds_until(next_beat));
    for (int peer = 0; peer < std::ssize(peers_) && !lost_; ++peer) {
      if (peer == rank_ || peers_[static_cast<std::size_t>(peer)].left != 0) continue;
      if (sockets[static_cast<std::size_t>(peer)].revents != 0) listen_to(peer);
      if (!lost_ && Clock::now() - peers_[static_cast<std::size_t>(peer)].heard > times_.silence)
        lose(peer, fmt::format("there was no sign of life of it for {} s", times_.silence.count() / 1000), false);
      if (peers_[static_cast<std::size_t>(peer)].left != 0) sockets[static_cast<std::size_t>(peer)].fd = -1;
    }
  }
}

void Watch::listen_to(int number) {
  Peer& peer = peers_[static_cast<std::size_t>(number)];
  char buffer[1024];
  const ssize_t count = ::recv(peer.socket.number(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (count <= 0) return lose(number, "its process has ended", false);
  peer.heard = Clock::now();
  peer.received.append(buffer, static_cast<std::size_t>(count));
  read_frames(number);
}

void Watch::read_frames(int number) {
  Peer& peer = peers_[static_cast<std::size_t>(number)];
  while (!peer.received.empty()) {
    const char kind = peer.received.front();
    if (kind == kLeft) {
      peer.left = Clock::now().time_since_epoch().count();
      return;
    }
    if (kind == kError) {
      std::uint32_t size = 0;
      if (peer.received.size() < 1 + sizeof size) return;
      std::memcpy(&size, peer.received.data() + 1, sizeof size);
      if (peer.received.size() < 1 + sizeof size + size) return;
      return lose(number, fmt::format("it ended with the error: {}", peer.received.substr(1 + sizeof size, size)),
                  true);
    }
    peer.received.erase(0, 1);
  }
}

void Watch::lose(int peer, std::string_view what, bool has_error) {
  {
    std::lock_guard lock(mutex_);
    reason_ = fmt::format("[mesh] all {} ranks must stay; rank {} is lost: {}", peers_.size(), peer, what);
  }
  if (has_error) {
    // What made one rank fail mostly makes all fail: each may tell its own error first.
    pollfd wait{.fd = wake_.number(), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, static_cast<int>(times_.own_error.count()));
  }
  lost_ = true;
  if (on_lost_ && !stopping_) on_lost_(reason());
}

} // namespace tessera::mpi
