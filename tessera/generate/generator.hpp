#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/generate/sampling.hpp"
#include "tessera/nn/causal_lm.hpp"

namespace tessera::generate {

/// One prompt to continue.
struct Request {
  std::vector<std::int32_t> prompt_ids;
  std::int64_t max_tokens = 128;
  SamplingOptions sampling;
};

/// Why a generation ended. RUNNING: it has not.
enum class Finish { RUNNING, STOP_ID, MAX_TOKENS, CONTEXT_END, CANCELLED };

/// A request's tokens so far, and the time they took on this host.
struct Generation {
  std::vector<std::int32_t> ids; ///< without the prompt and without the stop id
  Finish finish = Finish::RUNNING;
  double time_to_first_token_s = 0.0; ///< from the request's own prefill to its first token; 0 before that
  double decode_s = 0.0;              ///< from the first token to the latest
  std::int64_t decode_steps = 0;      ///< tokens that decode gave, the stop id included

  /// Tokens/s/user of decode; 0 before the second token.
  double tokens_per_s() const { return decode_s > 0.0 ? static_cast<double>(decode_steps) / decode_s : 0.0; }
};

struct GeneratorOptions {
  std::vector<std::int32_t> stop_ids;
  std::int64_t max_users = 0; ///< users at a time; 0: as many as the model takes
  /// Called for each new token: number of the request, the id. May throw to stop the work.
  std::function<void(std::size_t, std::int32_t)> on_token;
  /// When it turns true, no further step begins and all requests end as CANCELLED. A signal handler may set it.
  const std::atomic<bool>* cancelled = nullptr;
};

/// Continues requests, as many at a time as the model has users: a free user gets the next waiting request's prefill,
/// else all active users decode one token. Not thread-safe.
class Generator {
 public:
  /// Holds a reference to the model. Throws InvalidArgument when max_users is more than the model takes.
  explicit Generator(nn::CausalLM& model, GeneratorOptions options = {});

  /// Queues a request and returns its number, counted from 0. Throws InvalidArgument for an empty prompt, one longer
  /// than the context, ids outside the vocabulary, max_tokens below 1 and bad sampling options.
  std::size_t submit(Request request);

  /// Prefills one request or decodes one token of each active user, and may begin the next token of all before this one
  /// is read, so that the device does not wait for the host. Returns false, and does nothing, when no request is
  /// left to work on.
  bool step();

  /// Steps until nothing is left.
  void run() {
    while (step()) {
    }
  }

  const std::vector<Generation>& generations() const { return generations_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Waiting {
    Request request;
    Sampler sampler;
  };
  struct User {
    std::size_t request = 0; // its number
    Sampler sampler;
    std::int64_t max_tokens = 0;
    std::int64_t position = 0; // of the token to be fed next
    std::int32_t id = 0;       // that token
    Clock::time_point first_token;
  };

  void prefill(std::size_t slot);
  void decode();
  void begin_step();
  /// Whether all users will want a token after those under way, as far as one knows: only a stop id ends one earlier.
  bool may_run_ahead() const;
  bool wants_prefill() const;
  /// Records a user's new token; frees the user when the generation has ended.
  void accept(std::size_t slot, std::int32_t id);
  void cancel();

  nn::CausalLM& model_;
  GeneratorOptions options_;
  std::vector<Waiting> requests_; // all that were submitted
  std::size_t next_waiting_ = 0;  // first of requests_ that no user has taken
  std::vector<std::optional<User>> users_;
  std::vector<Generation> generations_;
  std::unique_ptr<nn::TokenLoop> loop_;
  bool users_changed_ = true; // since the loop was told
  std::int64_t steps_under_way_ = 0;
};

/// Continues all requests; entry i belongs to request i.
std::vector<Generation> generate(nn::CausalLM& model, std::span<const Request> requests, GeneratorOptions options = {});

} // namespace tessera::generate
