#include "tessera/generate/forward.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::generate {
namespace {

using tensor::HostTensor;

HostTensor zeros(Shape shape) {
  const auto volume = static_cast<std::size_t>(shape.volume());
  return {shape, std::vector<float>(volume)};
}

/// Copies row `from_row` of `from` [rows, W] to row `to_row` of `to` [rows', W].
void copy_row(const HostTensor& from, std::int64_t from_row, HostTensor& to, std::int64_t to_row) {
  const auto row = from.row(from_row);
  std::copy(row.begin(), row.end(), to.data.begin() + to_row * from.shape[-1]);
}

/// Runs the sequences of one group, sequence i as user i.
class Group {
 public:
  Group(nn::CausalLM& model, std::span<const std::vector<std::int32_t>> sequences, std::span<SequenceOutput> outputs,
        const ForwardOptions& options, std::size_t first)
      : model_(model), sequences_(sequences), outputs_(outputs), options_(options), first_(first) {
    const nn::CausalLMInfo& info = model.info();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto length = static_cast<std::int64_t>(sequences[i].size());
      outputs[i].logits = zeros({length, info.vocab_size});
      const auto states = static_cast<std::size_t>(options.hidden_states ? info.layers + 1 : 0);
      outputs[i].hidden_states.assign(states, zeros({length, info.hidden_size}));
    }
  }

  /// Calls `advance(positions)` after each step.
  void run(const std::function<void(std::int64_t)>& advance) {
    std::int64_t longest = 0;
    for (std::size_t user = 0; user < sequences_.size(); ++user) {
      const auto length = static_cast<std::int64_t>(sequences_[user].size());
      longest = std::max(longest, length);
      const auto& whole = options_.whole_lengths;
      model_.begin_sequence(static_cast<std::int64_t>(user), whole.empty() ? length : whole[first_ + user]);
      const std::int64_t prefilled = std::min(length, options_.prefill_positions);
      if (prefilled == 0) continue;
      prefill(user, prefilled);
      advance(prefilled);
    }
    for (std::int64_t position = options_.prefill_positions; position < longest; ++position) {
      advance(decode(position));
    }
  }

 private:
  void prefill(std::size_t user, std::int64_t positions) {
    nn::HiddenStates states;
    const std::span ids(sequences_[user].data(), static_cast<std::size_t>(positions));
    const HostTensor logits = model_.prefill(static_cast<std::int64_t>(user), ids, nn::LogitsRows::ALL, wanted(states));
    for (std::int64_t row = 0; row < positions; ++row) take(user, row, logits, states, row);
  }

  /// Returns the number of sequences that had a token at this position.
  std::int64_t decode(std::int64_t position) {
    std::vector<std::int32_t> ids(sequences_.size(), 0);
    std::vector<std::int32_t> positions(sequences_.size(), -1);
    for (std::size_t user = 0; user < sequences_.size(); ++user) {
      if (position >= static_cast<std::int64_t>(sequences_[user].size())) continue;
      ids[user] = sequences_[user][static_cast<std::size_t>(position)];
      positions[user] = static_cast<std::int32_t>(position);
    }
    nn::HiddenStates states;
    const HostTensor logits = model_.decode(ids, positions, wanted(states));
    std::int64_t active = 0;
    for (std::size_t user = 0; user < sequences_.size(); ++user) {
      if (positions[user] < 0) continue;
      take(user, position, logits, states, static_cast<std::int64_t>(user));
      ++active;
    }
    return active;
  }

  /// Keeps row `row` of a step's results as position `position` of the user's output.
  void take(std::size_t user, std::int64_t position, const HostTensor& logits, const nn::HiddenStates& states,
            std::int64_t row) {
    copy_row(logits, row, outputs_[user].logits, position);
    for (std::size_t i = 0; i < outputs_[user].hidden_states.size(); ++i) {
      copy_row(states.at(i), row, outputs_[user].hidden_states[i], position);
    }
  }

  nn::HiddenStates* wanted(nn::HiddenStates& states) const { return options_.hidden_states ? &states : nullptr; }

  nn::CausalLM& model_;
  std::span<const std::vector<std::int32_t>> sequences_;
  std::span<SequenceOutput> outputs_;
  const ForwardOptions& options_;
  std::size_t first_; // of these sequences among all
};

HostTensor stack_tensors(std::vector<HostTensor> parts) {
  const Shape& shape = parts.front().shape; // [S, W]
  HostTensor stacked{{static_cast<std::int64_t>(parts.size()), shape[0], shape[1]}, {}};
  stacked.data.reserve(static_cast<std::size_t>(stacked.shape.volume()));
  for (HostTensor& part : parts) {
    stacked.data.insert(stacked.data.end(), part.data.begin(), part.data.end());
    std::vector<float>().swap(part.data);
  }
  return stacked;
}

} // namespace

void check_sequence(const nn::CausalLMInfo& model, std::span<const std::int32_t> ids, const std::string& what) {
  base::require(!ids.empty(), "[generate] the {} must hold at least one id; received none", what);
  base::require(
      static_cast<std::int64_t>(ids.size()) <= model.context,
      "[generate] the {} must fit the context of {} positions; received {} ids; shorten it or raise --context", what,
      model.context, ids.size());
  for (const std::int32_t id : ids) {
    base::require(id >= 0 && id < model.vocab_size, "[generate] ids of the {} must be in 0..{}; received {}", what,
                  model.vocab_size - 1, id);
  }
}

std::vector<SequenceOutput> forward(nn::CausalLM& model, std::span<const std::vector<std::int32_t>> sequences,
                                    const ForwardOptions& options) {
  const nn::CausalLMInfo& info = model.info();
  base::require(options.prefill_positions >= 0, "[forward] prefill_positions must be at least 0; received {}",
                options.prefill_positions);
  base::require(options.whole_lengths.empty() || options.whole_lengths.size() == sequences.size(),
                "[forward] whole_lengths must be given for each of {} sequences, or none; received {}",
                sequences.size(), options.whole_lengths.size());
  std::int64_t total = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    check_sequence(info, sequences[i], fmt::format("sequence {}", i));
    total += static_cast<std::int64_t>(sequences[i].size());
  }
  std::int64_t done = 0;
  const auto advance = [&](std::int64_t positions) {
    done += positions;
    if (options.progress) options.progress(done, total);
  };
  std::vector<SequenceOutput> outputs(sequences.size());
  const auto group_size = static_cast<std::size_t>(info.max_users);
  for (std::size_t first = 0; first < sequences.size(); first += group_size) {
    const std::size_t count = std::min(group_size, sequences.size() - first);
    Group(model, sequences.subspan(first, count), std::span(outputs).subspan(first, count), options, first)
        .run(advance);
  }
  return outputs;
}

SequenceOutput stack(std::vector<SequenceOutput> outputs) {
  base::require(!outputs.empty(), "[forward] at least one sequence is needed; received none");
  for (const SequenceOutput& output : outputs) {
    base::require(output.logits.shape == outputs.front().logits.shape,
                  "[forward] sequences must have one length to be stacked; received {} and {} positions",
                  outputs.front().logits.shape[0], output.logits.shape[0]);
  }
  const auto gather = [&](auto member) {
    std::vector<HostTensor> parts;
    for (SequenceOutput& output : outputs) parts.push_back(std::move(member(output)));
    return stack_tensors(std::move(parts));
  };
  SequenceOutput stacked;
  stacked.logits = gather([](SequenceOutput& output) -> HostTensor& { return output.logits; });
  for (std::size_t i = 0; i < outputs.front().hidden_states.size(); ++i) {
    stacked.hidden_states.push_back(
        gather([i](SequenceOutput& output) -> HostTensor& { return output.hidden_states[i]; }));
  }
  return stacked;
}

} // namespace tessera::generate
