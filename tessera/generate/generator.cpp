#include "tessera/generate/generator.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/generate/forward.hpp"

namespace tessera::generate {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

Generator::Generator(nn::CausalLM& model, GeneratorOptions options) : model_(model), options_(std::move(options)) {
  const std::int64_t most = model.info().max_users;
  base::require(options_.max_users >= 0 && options_.max_users <= most,
                "[generate] max_users must be in 0..{}; received {}; load the model for more users", most,
                options_.max_users);
  users_.resize(static_cast<std::size_t>(options_.max_users == 0 ? most : options_.max_users));
  loop_ = model.token_loop(static_cast<std::int64_t>(users_.size()));
}

std::size_t Generator::submit(Request request) {
  check_sequence(model_.info(), request.prompt_ids, "prompt");
  base::require(request.max_tokens >= 1, "[generate] max_tokens must be at least 1; received {}", request.max_tokens);
  Sampler sampler(request.sampling);
  requests_.push_back({std::move(request), std::move(sampler)});
  generations_.emplace_back();
  return requests_.size() - 1;
}

bool Generator::step() {
  if (options_.cancelled != nullptr && *options_.cancelled) cancel();
  const bool idle = std::all_of(users_.begin(), users_.end(), [](const auto& user) { return !user; });
  if (steps_under_way_ == 0 && wants_prefill()) {
    prefill(static_cast<std::size_t>(std::find(users_.begin(), users_.end(), std::nullopt) - users_.begin()));
    return true;
  }
  if (idle && steps_under_way_ == 0) return false;
  decode();
  return !idle || wants_prefill();
}

void Generator::prefill(std::size_t slot) {
  const std::size_t number = next_waiting_++;
  const Waiting& waiting = requests_[number];
  const auto start = Clock::now();
  const auto length = static_cast<std::int64_t>(waiting.request.prompt_ids.size());
  model_.begin_sequence(static_cast<std::int64_t>(slot),
                        std::min(length + waiting.request.max_tokens, model_.info().context));
  const auto logits = model_.prefill(static_cast<std::int64_t>(slot), waiting.request.prompt_ids, nn::LogitsRows::LAST,
                                     nullptr); // [1, V]
  users_changed_ = true;
  users_[slot] =
      User{.request = number, .sampler = waiting.sampler, .max_tokens = waiting.request.max_tokens, .position = length};
  const std::int32_t id = users_[slot]->sampler.sample(logits.row(0), users_[slot]->position - 1);
  users_[slot]->first_token = Clock::now();
  generations_[number].time_to_first_token_s = seconds_since(start);
  accept(slot, id);
}

bool Generator::wants_prefill() const {
  return next_waiting_ < requests_.size() && std::find(users_.begin(), users_.end(), std::nullopt) != users_.end();
}

bool Generator::may_run_ahead() const {
  if (!loop_->asynchronous() || users_changed_ || wants_prefill()) return false;
  return std::all_of(users_.begin(), users_.end(), [&](const auto& user) {
    if (!user) return true;
    const auto made = static_cast<std::int64_t>(generations_[user->request].ids.size());
    return made + steps_under_way_ < user->max_tokens && user->position + steps_under_way_ < model_.info().context;
  });
}

void Generator::begin_step() {
  if (users_changed_) {
    std::vector<std::optional<nn::TokenUser>> users(users_.size());
    for (std::size_t slot = 0; slot < users.size(); ++slot) {
      if (!users_[slot]) continue;
      const User& user = *users_[slot];
      users[slot] = nn::TokenUser{.id = user.id,
                                  .position = static_cast<std::int32_t>(user.position),
                                  .sampling = user.sampler.parameters(),
                                  .seed = user.sampler.seed()};
    }
    loop_->set_users(users);
    users_changed_ = false;
  }
  loop_->begin_step();
  ++steps_under_way_;
}

void Generator::decode() {
  if (steps_under_way_ == 0) begin_step();
  if (may_run_ahead()) begin_step();
  const std::vector<std::int32_t> ids = loop_->end_step();
  --steps_under_way_;
  for (std::size_t slot = 0; slot < users_.size(); ++slot) {
    if (!users_[slot]) continue;
    User& user = *users_[slot];
    ++user.position;
    Generation& generation = generations_[user.request];
    generation.decode_s = seconds_since(user.first_token);
    ++generation.decode_steps;
    accept(slot, ids[slot]);
  }
}

void Generator::accept(std::size_t slot, std::int32_t id) {
  User& user = *users_[slot];
  const std::size_t number = user.request;
  Generation& generation = generations_[number];
  const auto& stop = options_.stop_ids;
  if (std::find(stop.begin(), stop.end(), id) != stop.end()) {
    generation.finish = Finish::STOP_ID;
  } else {
    generation.ids.push_back(id);
    user.id = id;
    if (static_cast<std::int64_t>(generation.ids.size()) >= user.max_tokens) {
      generation.finish = Finish::MAX_TOKENS;
    } else if (user.position >= model_.info().context) {
      generation.finish = Finish::CONTEXT_END;
    }
  }
  const bool is_token = generation.finish != Finish::STOP_ID;
  if (generation.finish != Finish::RUNNING) {
    users_[slot].reset();
    users_changed_ = true;
  }
  if (is_token && options_.on_token) options_.on_token(number, id);
}

void Generator::cancel() {
  for (auto& user : users_) user.reset();
  users_changed_ = true;
  next_waiting_ = requests_.size();
  for (Generation& generation : generations_) {
    if (generation.finish == Finish::RUNNING) generation.finish = Finish::CANCELLED;
  }
}

std::vector<Generation> generate(nn::CausalLM& model, std::span<const Request> requests, GeneratorOptions options) {
  Generator generator(model, std::move(options));
  for (const Request& request : requests) generator.submit(request);
  generator.run();
  return generator.generations();
}

} // namespace tessera::generate
