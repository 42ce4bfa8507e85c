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
  const auto free = std::find(users_.begin(), users_.end(), std::nullopt);
  if (free != users_.end() && next_waiting_ < requests_.size()) {
    prefill(static_cast<std::size_t>(free - users_.begin()));
    return true;
  }
  if (std::all_of(users_.begin(), users_.end(), [](const auto& user) { return !user; })) return false;
  decode();
  return true;
}

void Generator::prefill(std::size_t slot) {
  const std::size_t number = next_waiting_++;
  const Waiting& waiting = requests_[number];
  const auto start = Clock::now();
  const auto logits = model_.prefill(static_cast<std::int64_t>(slot), waiting.request.prompt_ids, nn::LogitsRows::LAST,
                                     nullptr); // [1, V]
  users_[slot] = User{.request = number,
                      .sampler = waiting.sampler,
                      .max_tokens = waiting.request.max_tokens,
                      .position = static_cast<std::int64_t>(waiting.request.prompt_ids.size())};
  const std::int32_t id = users_[slot]->sampler.sample(logits.row(0), users_[slot]->position - 1);
  users_[slot]->first_token = Clock::now();
  generations_[number].time_to_first_token_s = seconds_since(start);
  accept(slot, id);
}

void Generator::decode() {
  // Users behind the last active one need no row.
  std::size_t rows = users_.size();
  while (!users_[rows - 1]) --rows;
  std::vector<std::int32_t> ids(rows, 0);
  std::vector<std::int32_t> positions(rows, -1);
  for (std::size_t slot = 0; slot < rows; ++slot) {
    if (!users_[slot]) continue;
    ids[slot] = users_[slot]->id;
    positions[slot] = static_cast<std::int32_t>(users_[slot]->position);
  }
  const auto logits = model_.decode(ids, positions, nullptr); // [rows, V]
  for (std::size_t slot = 0; slot < rows; ++slot) {
    if (!users_[slot]) continue;
    User& user = *users_[slot];
    Generation& generation = generations_[user.request];
    const std::int32_t id = user.sampler.sample(logits.row(static_cast<std::int64_t>(slot)), user.position);
    ++user.position;
    generation.decode_s = seconds_since(user.first_token);
    ++generation.decode_steps;
    accept(slot, id);
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
  if (generation.finish != Finish::RUNNING) users_[slot].reset();
  if (is_token && options_.on_token) options_.on_token(number, id);
}

void Generator::cancel() {
  for (auto& user : users_) user.reset();
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
