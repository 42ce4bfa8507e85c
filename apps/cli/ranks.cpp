#include "apps/cli/ranks.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <thread>

#include "apps/cli/exit_code.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/mpi/mpi_communicator.hpp"

namespace tessera::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::shared_ptr<mpi::MpiCommunicator> g_ranks;
std::atomic_flag g_told;                    // an error was told: the process ends with that
std::atomic<std::int64_t> g_ended_at_ns{0}; // when SIGTERM came; 0: it did not
bool g_failed = false;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

/// mpirun ends all ranks when one dies, a moment after the watch has seen it die. That moment is enough to tell.
void on_terminate(int signal) {
  g_ended_at_ns = now_ns();
  timespec left{.tv_sec = 0, .tv_nsec = 500'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
  ::_exit(128 + signal);
}

void on_lost(const std::string& reason) {
  // Where all were ended, by Ctrl-C or mpirun, the first to be gone is no news.
  if (g_ended_at_ns != 0 && now_ns() - g_ended_at_ns > 200'000'000) return;
  if (g_told.test_and_set()) return;
  fmt::print(stderr, "{}error: {}\n", Ranks::prefix(), reason);
  std::fflush(stderr);
  ::_exit(EXIT_DEVICE_ERROR);
}

void set_terminate(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(how, &set, nullptr);
}

int processors_of_host() {
  return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
}

/// mpirun binds each of two ranks to one core, where their threads would take turns. Who has so few takes an equal part
/// of the host's processors; where that is a single one, all ranks share all. A wish, as all binding.
void take_processors() {
  cpu_set_t own;
  const int share = processors_of_host() / g_ranks->ranks_of_host();
  constexpr int kOneCore = 2; // with its second hardware thread
  if (::sched_getaffinity(0, sizeof own, &own) != 0 || CPU_COUNT(&own) > kOneCore ||
      CPU_COUNT(&own) >= processors_of_host())
    return;
  const int count = share > 1 ? share : processors_of_host();
  const int first = share > 1 ? g_ranks->place_on_host() * share : 0;
  CPU_ZERO(&own);
  for (int i = first; i < first + count; ++i) CPU_SET(static_cast<unsigned>(i), &own);
  ::sched_setaffinity(0, sizeof own, &own);
}

} // namespace

void Ranks::join() {
  if (!mpi::is_launched()) return;
  struct sigaction action {};
  action.sa_handler = on_terminate;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  set_terminate(SIG_BLOCK); // for the threads of MPI and of the watch: the one that tells must not sleep
  g_ranks = mpi::MpiCommunicator::open(on_lost);
  set_terminate(SIG_UNBLOCK);
  take_processors();
  if (is_first()) return;
  spdlog::set_pattern(prefix() + "%v");
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  base::require<base::IoError>(nowhere >= 0 && ::dup2(nowhere, STDOUT_FILENO) >= 0,
                               "[ranks] /dev/null is required for what other ranks than the first would print");
  ::close(nowhere);
}

void Ranks::fail(std::string_view error) noexcept {
  if (g_ranks == nullptr) return;
  g_failed = true;
  // The watch may be telling that another rank is lost, which is what this error comes from; it ends the process.
  while (g_told.test_and_set()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  try {
    g_ranks->fail(error);
  } catch (...) { // NOLINT(bugprone-empty-catch): the others see this process end
  }
}

int Ranks::leave(int exit_code) {
  if (g_failed) {
    std::fflush(nullptr);
    ::_exit(exit_code);
  }
  g_ranks.reset();
  return exit_code;
}

std::shared_ptr<runtime::Communicator> Ranks::communicator() {
  return g_ranks;
}

bool Ranks::is_first() {
  return g_ranks == nullptr || g_ranks->rank() == 0;
}

std::string Ranks::prefix() {
  return is_first() ? "" : fmt::format("rank {}: ", g_ranks->rank());
}

int Ranks::default_threads() {
  if (g_ranks == nullptr) return 0;
  const int share = processors_of_host() / g_ranks->ranks_of_host();
  return std::clamp(share, 1, base::ThreadPool::shared().threads());
}

void Ranks::require_same(const Facts& facts) {
  if (g_ranks != nullptr) g_ranks->require_same(facts);
}

} // namespace tessera::cli
