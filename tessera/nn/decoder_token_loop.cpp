#include "tessera/nn/decoder_token_loop.hpp"

#include <algorithm>
#include <bit>

#include "tessera/base/error.hpp"
#include "tessera/ops/data_movement/copy.hpp"

namespace tessera::nn {
namespace {

constexpr int kCompute = 0; // the queue of ops

} // namespace

DecoderTokenLoop::DecoderTokenLoop(DecoderModel& model, std::int64_t users)
    : model_(model),
      device_(model.device()),
      transfer_queue_(model.execution().two_queues ? device_.command_queues() - 1 : kCompute),
      users_(static_cast<std::size_t>(users)) {
  base::require(1 <= users && users <= model.info().max_users, "[decode] 1 to {} users are possible; received {}",
                model.info().max_users, users);
}

void DecoderTokenLoop::set_users(std::span<const std::optional<TokenUser>> users) {
  base::require(reads_.empty() && users.size() == users_.size(),
                "[decode] {} users, and no step under way, are required; received {} and {}", users_.size(),
                users.size(), reads_.size());
  users_.assign(users.begin(), users.end());
  std::vector<std::int32_t> ids(users.size(), 0);
  std::vector<std::int32_t> positions(users.size(), -1);
  std::size_t active = 1;
  for (std::size_t i = 0; i < users.size(); ++i) {
    if (!users[i]) continue;
    ids[i] = users[i]->id;
    positions[i] = users[i]->position;
    active = i + 1;
  }
  rows_ = std::min(static_cast<std::int64_t>(std::bit_ceil(active)), static_cast<std::int64_t>(users.size()));

  const runtime::QueueScope scope(device_, transfer_queue_);
  model_.inputs().write_users(ids, positions, model_.rotary_rows(positions));
  model_.inputs().write_sampling(users);
  device_.wait_for_event(kCompute, device_.record_event(transfer_queue_));
}

void DecoderTokenLoop::begin_step() {
  Size& size = sizes_[rows_];
  logits_ = {};
  if (!size.has_run || !model_.execution().trace) {
    size.logits = {}; // its memory is free for this step's
    size.logits = model_.decode_step(rows_);
    size.has_run = true;
  } else {
    if (!size.trace.captured()) {
      size.logits = {};
      size.trace =
          runtime::Trace(device_.shared_from_this(), kCompute, [&] { size.logits = model_.decode_step(rows_); });
      // Traces of other sizes may use the same memory for something else: read it before their next replay.
      size.logits.acknowledge_corruptible();
    }
    size.trace.execute(false);
  }
  logits_ = size.logits;

  if (transfer_queue_ == kCompute) {
    reads_.push_back(tensor::begin_read_integers(model_.inputs().ids));
    return;
  }
  // The next step writes over the ids: the transfer queue reads a copy.
  const tensor::Tensor& drawn = model_.inputs().drawn[turn_];
  if (drawn_read_[turn_]) device_.wait_for_event(kCompute, *drawn_read_[turn_]);
  ops::copy(model_.inputs().ids, drawn);
  device_.wait_for_event(transfer_queue_, device_.record_event(kCompute));
  const runtime::QueueScope scope(device_, transfer_queue_);
  reads_.push_back(tensor::begin_read_integers(drawn));
  drawn_read_[turn_] = device_.record_event(transfer_queue_);
  turn_ = 1 - turn_;
}

std::vector<std::int32_t> DecoderTokenLoop::end_step() {
  base::require(!reads_.empty(), "[decode] a step that was begun is required; none was");
  auto read = std::move(reads_.front());
  reads_.pop_front();
  std::vector<std::int32_t> ids = read.get();
  ids.resize(users_.size()); // the model may have room for more
  return ids;
}

HostTensor DecoderTokenLoop::logits() {
  base::require(logits_.defined(), "[decode] a step that was begun is required; none was");
  HostTensor logits = tensor::to_host(logits_);
  logits.shape = Shape{logits_.shape()[-2], logits_.shape()[-1]};
  return logits;
}

} // namespace tessera::nn
