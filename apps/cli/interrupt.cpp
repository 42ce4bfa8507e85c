#include "apps/cli/interrupt.hpp"

#include <csignal>

#include "apps/cli/exit_code.hpp"
#include "apps/cli/ranks.hpp"

namespace tessera::cli {
namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

void on_signal(int) {
  g_interrupted = true;
}

void set_handler(void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

} // namespace

// Several ranks must stop at the same step, which a signal to each does not give: there it ends all.
InterruptGuard::InterruptGuard() {
  if (Ranks::several()) return;
  set_handler(on_signal, SA_RESETHAND | SA_RESTART);
}

InterruptGuard::~InterruptGuard() {
  if (Ranks::several()) return;
  set_handler(SIG_DFL, 0);
}

const std::atomic<bool>& InterruptGuard::flag() {
  return g_interrupted;
}

void InterruptGuard::check() {
  if (g_interrupted) throw Interrupted("[tessera] interrupted; nothing was written");
}

} // namespace tessera::cli
