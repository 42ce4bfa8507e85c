#include "tessera/bringup/bisect/precision_swaps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "tessera/base/error.hpp"
#include "tessera/bringup/bisect/precision_file.hpp"

namespace tessera::bringup::bisect {
namespace {

// A group whose layers are looked at gains this share of the KL divergence at least.
constexpr double kWorthHalving = 0.25;
// A part of a group's layers stands for the group when it gains so much of what the group does.
constexpr double kMostOfTheGroup = 0.6;
// Layers of a group are tried one by one up to here; of more, halves.
constexpr std::int64_t kOneByOne = 8;
// Work of loading a model and running the texts by decode, in forward passes.
constexpr std::int64_t kPasses = 6;

class PrecisionSwapper {
 public:
  PrecisionSwapper(Session& session, const Agreement& before, std::vector<std::string>& notes)
      : session_(session), before_(before), notes_(notes) {}

  std::int64_t runs_of_one() const { return kPasses * session_.layers() * 5; }

  /// Nothing when no model can be opened with it.
  std::optional<Swap> run(const TensorGroup& group, DataType format, std::int64_t first, std::int64_t last) {
    const Inputs& inputs = session_.inputs();
    const std::int64_t layers = session_.layers();
    Swap swap{.kind = Swap::Kind::PRECISION, .what = name_of(group, first, last), .before = before_};
    swap.group = group.name;
    swap.format = short_name(format);
    swap.first_layer = first;
    swap.last_layer = group.layers ? last : -1;
    swap.from = formats(group, first, last);
    try {
      session_.advance(0, fmt::format("{} in {}", swap.what, swap.format));
      const auto model =
          inputs.open(with_format(inputs.precision_file, inputs.precision, group, format, first, last, layers));
      swap.after = session_.force(*model, runs_of_one(), fmt::format("{} in {}", swap.what, swap.format));
    } catch (const base::Error& error) {
      notes_.push_back(fmt::format("{} in {} was left out: {}", swap.what, swap.format, error.what()));
      return std::nullopt;
    }
    return swap;
  }

  /// Whether full precision changes any of the group's layers.
  bool rounds(const TensorGroup& group, std::int64_t layer) const {
    const int bits = element_bits(format_of(session_.inputs().precision, group, layer));
    return bits < (group.weights ? element_bits(session_.inputs().stored) : element_bits(DataType::FLOAT32));
  }

  bool rounds(const TensorGroup& group) const {
    for (std::int64_t layer = 0; layer < session_.layers(); ++layer) {
      if (rounds(group, layer)) return true;
    }
    return false;
  }

 private:
  std::string name_of(const TensorGroup& group, std::int64_t first, std::int64_t last) const {
    if (!group.layers || (first == 0 && last == session_.layers() - 1)) return group.name;
    if (first == last) return fmt::format("{} of layer {}", group.name, first);
    return fmt::format("{} of layers {}-{}", group.name, first, last);
  }

  std::string formats(const TensorGroup& group, std::int64_t first, std::int64_t last) const {
    std::set<std::string> names;
    for (std::int64_t layer = first; layer <= last; ++layer) {
      names.insert(short_name(format_of(session_.inputs().precision, group, layer)));
    }
    return fmt::format("{}", fmt::join(names, ", "));
  }

  Session& session_;
  const Agreement& before_;
  std::vector<std::string>& notes_;
};

/// The layers of a group one by one, or the better half again and again.
void swap_layers(PrecisionSwapper& swapper, Session& session, const TensorGroup& group, std::int64_t first,
                 std::int64_t last, std::vector<Swap>& swaps) {
  while (first < last) {
    const std::int64_t count = last - first + 1;
    const std::int64_t step = count <= kOneByOne ? 1 : (count + 1) / 2;
    session.plan(swapper.runs_of_one() * ((count + step - 1) / step));
    std::optional<Swap> best;
    for (std::int64_t from = first; from <= last; from += step) {
      const std::int64_t to = std::min(from + step - 1, last);
      bool rounded = false;
      for (std::int64_t layer = from; layer <= to; ++layer) rounded = rounded || swapper.rounds(group, layer);
      if (!rounded) continue;
      const auto swap = swapper.run(group, DataType::FLOAT32, from, to);
      if (!swap) continue;
      swaps.push_back(*swap);
      if (!best || swap->kl_gain() > best->kl_gain()) best = swap;
    }
    if (step == 1 || !best) return;
    first = best->first_layer;
    last = best->last_layer;
  }
}

/// The narrowest group of layers that stands for the whole group, by the swaps made.
const Swap& guilty_part(const std::vector<Swap>& swaps, const Swap& whole) {
  const Swap* guilty = &whole;
  for (const Swap& swap : swaps) {
    const bool narrower =
        swap.group == whole.group && swap.last_layer - swap.first_layer < guilty->last_layer - guilty->first_layer;
    if (narrower && swap.kl_gain() >= kMostOfTheGroup * whole.kl_gain()) guilty = &swap;
  }
  return *guilty;
}

} // namespace

std::vector<Swap> swap_precision(Session& session, const Agreement& before, std::vector<std::string>& notes) {
  std::vector<Swap> swaps;
  if (!session.inputs().open || session.inputs().precision.weights_as_stored) return swaps;
  PrecisionSwapper swapper(session, before, notes);
  std::vector<const TensorGroup*> groups;
  for (const TensorGroup& group : tensor_groups()) {
    if (swapper.rounds(group)) groups.push_back(&group);
  }
  session.plan(static_cast<std::int64_t>(groups.size()) * swapper.runs_of_one());
  for (const TensorGroup* group : groups) {
    if (auto swap = swapper.run(*group, DataType::FLOAT32, 0, session.layers() - 1)) swaps.push_back(std::move(*swap));
  }
  if (swaps.empty()) return swaps;
  const Swap best = *std::max_element(swaps.begin(), swaps.end(),
                                      [](const Swap& a, const Swap& b) { return a.kl_gain() < b.kl_gain(); });
  if (best.kl_share() < kWorthHalving) return swaps;
  const TensorGroup& group =
      **std::find_if(groups.begin(), groups.end(), [&](const TensorGroup* one) { return one->name == best.group; });
  if (group.layers) swap_layers(swapper, session, group, 0, session.layers() - 1, swaps);
  const Swap guilty = guilty_part(swaps, best);
  const std::int64_t last = group.layers ? guilty.last_layer : session.layers() - 1;
  const int widest = element_bits(format_of(session.inputs().precision, group, guilty.first_layer));
  for (const DataType format : {DataType::BFLOAT8_B, DataType::BFLOAT16}) {
    if (element_bits(format) <= widest || (group.name == "embedding" && is_block_float(format))) continue;
    session.plan(swapper.runs_of_one());
    auto swap = swapper.run(group, format, guilty.first_layer, last);
    if (!swap) continue;
    const bool enough = swap->kl_gain() >= kMostOfTheGroup * guilty.kl_gain();
    swaps.push_back(std::move(*swap));
    if (enough) break;
  }
  return swaps;
}

} // namespace tessera::bringup::bisect
