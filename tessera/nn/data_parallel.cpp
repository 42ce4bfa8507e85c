#include "tessera/nn/data_parallel.hpp"

#include <algorithm>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

/// What copy `copy` of `copies` gets of something that there is one of for each user.
template <typename T>
std::vector<T> dealt(std::span<const T> all, std::int64_t copy, std::int64_t copies) {
  std::vector<T> part;
  for (auto i = static_cast<std::size_t>(copy); i < all.size(); i += static_cast<std::size_t>(copies))
    part.push_back(all[i]);
  return part;
}

/// Puts the rows of a copy's users in their places among all `users`; the first call gives `all` its size.
void collect(HostTensor& all, const HostTensor& part, std::int64_t users, std::int64_t copy, std::int64_t copies) {
  const std::int64_t width = part.shape[-1];
  if (all.data.empty()) all = {{users, width}, std::vector<float>(static_cast<std::size_t>(users * width))};
  for (std::int64_t row = 0; row < part.shape[0] && copy + row * copies < users; ++row) {
    const auto values = part.row(row);
    std::copy(values.begin(), values.end(), all.data.begin() + (copy + row * copies) * width);
  }
}

/// The copies' loops, step by step together.
class DataParallelTokenLoop : public TokenLoop {
 public:
  DataParallelTokenLoop(DataParallel& model, std::int64_t users) : users_(static_cast<std::size_t>(users)) {
    const std::int64_t copies = model.count();
    for (std::int64_t copy = 0; copy < std::min(copies, users); ++copy)
      loops_.push_back({model.copy(copy).token_loop(div_up(users - copy, copies))});
    copies_ = copies;
  }

  void set_users(std::span<const std::optional<TokenUser>> users) override {
    base::require(users.size() == users_, "[decode] {} users are required; received {}", users_, users.size());
    for (std::size_t copy = 0; copy < loops_.size(); ++copy) {
      const auto part = dealt(users, static_cast<std::int64_t>(copy), copies_);
      loops_[copy].active = std::ranges::any_of(part, [](const auto& user) { return user.has_value(); });
      loops_[copy].loop->set_users(part);
    }
  }
  void begin_step() override {
    for (Copy& copy : loops_) {
      if (copy.active) copy.loop->begin_step();
    }
  }
  bool asynchronous() const override { return loops_.front().loop->asynchronous(); }
  std::vector<std::int32_t> end_step() override {
    std::vector<std::int32_t> ids(users_, 0);
    for (std::size_t copy = 0; copy < loops_.size(); ++copy) {
      if (!loops_[copy].active) continue;
      const std::vector<std::int32_t> part = loops_[copy].loop->end_step();
      for (std::size_t i = 0; copy + i * static_cast<std::size_t>(copies_) < users_; ++i)
        ids[copy + i * static_cast<std::size_t>(copies_)] = part[i];
    }
    return ids;
  }
  HostTensor logits() override {
    HostTensor all;
    for (std::size_t copy = 0; copy < loops_.size(); ++copy) {
      if (loops_[copy].active)
        collect(all, loops_[copy].loop->logits(), static_cast<std::int64_t>(users_), static_cast<std::int64_t>(copy),
                copies_);
    }
    base::require(!all.data.empty(), "[decode] a step that was begun is required; none was");
    return all;
  }

 private:
  struct Copy {
    std::unique_ptr<TokenLoop> loop;
    bool active = false; // has a user
  };
  std::size_t users_;
  std::int64_t copies_ = 1;
  std::vector<Copy> loops_; // none for copies without a place for a user
};

} // namespace

DataParallel::DataParallel(std::vector<std::unique_ptr<DecoderModel>> copies)
    : copies_(std::move(copies)), info_(copies_.front()->info()) {
  info_.max_users *= count();
}

void DataParallel::begin_sequence(std::int64_t user, std::int64_t length) {
  base::require(0 <= user && user < info_.max_users, "[model] user must be in 0..{}; received {}", info_.max_users - 1,
                user);
  copy(user % count()).begin_sequence(user / count(), length);
}

HostTensor DataParallel::prefill(std::int64_t user, std::span<const std::int32_t> ids, LogitsRows rows,
                                 HiddenStates* hidden_states) {
  base::require(0 <= user && user < info_.max_users, "[prefill] user must be in 0..{}; received {}",
                info_.max_users - 1, user);
  return copy(user % count()).prefill(user / count(), ids, rows, hidden_states);
}

HostTensor DataParallel::decode(std::span<const std::int32_t> ids, std::span<const std::int32_t> positions,
                                HiddenStates* hidden_states) {
  base::require(ids.size() == positions.size() && !ids.empty(),
                "[decode] as many ids as positions, and one at least, are required; received {} and {}", ids.size(),
                positions.size());
  const auto users = static_cast<std::int64_t>(ids.size());
  std::vector<tensor::Tensor> logits;
  std::vector<HiddenStates> states(static_cast<std::size_t>(std::min(count(), users)));
  for (std::int64_t number = 0; number < std::min(count(), users); ++number) {
    logits.push_back(
        copy(number).forward_decode(dealt(ids, number, count()), dealt(positions, number, count()),
                                    hidden_states == nullptr ? nullptr : &states[static_cast<std::size_t>(number)]));
  }
  HostTensor all;
  for (std::int64_t number = 0; number < static_cast<std::int64_t>(logits.size()); ++number) {
    HostTensor part = tensor::to_host(logits[static_cast<std::size_t>(number)]);
    part.shape = Shape{part.shape[-2], part.shape[-1]};
    collect(all, part, users, number, count());
  }
  if (hidden_states == nullptr) return all;
  hidden_states->assign(states.front().size(), {});
  for (std::size_t number = 0; number < states.size(); ++number) {
    for (std::size_t i = 0; i < states[number].size(); ++i)
      collect((*hidden_states)[i], states[number][i], users, static_cast<std::int64_t>(number), count());
  }
  return all;
}

std::unique_ptr<TokenLoop> DataParallel::token_loop(std::int64_t users) {
  base::require(1 <= users && users <= info_.max_users, "[decode] 1 to {} users are possible; received {}",
                info_.max_users, users);
  return std::make_unique<DataParallelTokenLoop>(*this, users);
}

Execution DataParallel::set_execution(const Execution& execution) {
  Execution before;
  for (const auto& model : copies_) before = model->set_execution(execution);
  return before;
}

HostTensor DataParallel::run_module(std::string_view name, const HostTensor& x, Phase phase) {
  base::require(x.shape.rank() >= 2 && x.shape.volume() > 0,
                "[run_module] [B, S] or [B, S, width] is required; received {}", x.shape);
  const std::int64_t batch = x.shape[0];
  const auto size = static_cast<std::ptrdiff_t>(x.shape.volume() / batch);
  HostTensor y;
  for (std::int64_t number = 0; number < std::min(count(), batch); ++number) {
    HostTensor part{x.shape.with(0, div_up(batch - number, count())), {}};
    for (std::int64_t b = number; b < batch; b += count())
      part.data.insert(part.data.end(), x.data.begin() + b * size, x.data.begin() + (b + 1) * size);
    const HostTensor result = copy(number).run_module(name, part, phase);
    const auto result_size = static_cast<std::ptrdiff_t>(result.shape.volume() / result.shape[0]);
    if (y.data.empty())
      y = {result.shape.with(0, batch), std::vector<float>(static_cast<std::size_t>(batch * result_size))};
    for (std::int64_t row = 0; row < result.shape[0]; ++row) {
      std::copy_n(result.data.begin() + row * result_size, result_size,
                  y.data.begin() + (number + row * count()) * result_size);
    }
  }
  return y;
}

} // namespace tessera::nn
