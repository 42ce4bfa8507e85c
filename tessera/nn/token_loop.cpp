#include "tessera/nn/token_loop.hpp"

#include "tessera/nn/causal_lm.hpp"

namespace tessera::nn {

HostTokenLoop::HostTokenLoop(CausalLM& model, std::int64_t users)
    : model_(model), users_(static_cast<std::size_t>(users)) {}

void HostTokenLoop::set_users(std::span<const std::optional<TokenUser>> users) {
  users_.assign(users.begin(), users.end());
}

void HostTokenLoop::begin_step() {
  std::size_t rows = users_.size();
  while (rows > 1 && !users_[rows - 1]) --rows; // users behind the last active one need no row
  std::vector<std::int32_t> ids(rows, 0);
  std::vector<std::int32_t> positions(rows, -1);
  for (std::size_t i = 0; i < rows; ++i) {
    if (!users_[i]) continue;
    ids[i] = users_[i]->id;
    positions[i] = users_[i]->position;
  }
  logits_ = model_.decode(ids, positions, nullptr);
  std::vector<std::int32_t> drawn(users_.size(), 0);
  for (std::size_t i = 0; i < rows; ++i) {
    if (!users_[i]) continue;
    TokenUser& user = *users_[i];
    user.id = ops::draw_token(logits_.row(static_cast<std::int64_t>(i)), user.sampling, user.seed, user.position);
    ++user.position;
    drawn[i] = user.id;
  }
  drawn_.push_back(std::move(drawn));
}

std::vector<std::int32_t> HostTokenLoop::end_step() {
  std::vector<std::int32_t> oldest = std::move(drawn_.front());
  drawn_.erase(drawn_.begin());
  return oldest;
}

} // namespace tessera::nn
