#include "tessera/bringup/tune/precision_space.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tessera/base/error.hpp"

namespace tessera::bringup {
namespace {

constexpr std::int64_t kWholeModel = -1;

/// A group whose tensors are weights of a matmul.
struct LinearGroup {
  const char* op_group; // the precision file's key of its ops
  const char* half_dst; // TT-NN's MLP sums in a 16-bit Dst
};

const std::map<std::string, LinearGroup>& linear_groups() {
  static const std::map<std::string, LinearGroup> groups = {{"wqkv", {"li_qkv", "hifi2"}},
                                                            {"wo", {"li_o", "hifi2"}},
                                                            {"ff1_3", {"li_ff1_3", "hifi2fp16"}},
                                                            {"ff2", {"li_ff2", "hifi2fp16"}}};
  return groups;
}

/// The short name that precision files use.
std::string short_name(DataType dtype) {
  switch (dtype) {
    case DataType::FLOAT32:
      return "f32";
    case DataType::BFLOAT16:
      return "bf16";
    case DataType::BFLOAT8_B:
      return "bfp8";
    case DataType::BFLOAT4_B:
      return "bfp4";
    default:
      return std::string(to_string(dtype));
  }
}

std::vector<PrecisionChoice> choices_of(const std::string& group, bool exact) {
  using enum DataType;
  const auto linear = linear_groups().find(group);
  if (linear != linear_groups().end()) {
    const std::string hifi2 = linear->second.half_dst;
    if (exact)
      return {{BFLOAT16, "hifi4"}, {BFLOAT16, hifi2}, {BFLOAT8_B, hifi2}, {BFLOAT8_B, "lofi"}, {BFLOAT4_B, "lofi"}};
    return {{BFLOAT16, "hifi4"}, {BFLOAT8_B, hifi2}, {BFLOAT4_B, "lofi"}};
  }
  if (group == "lm_head") return {{BFLOAT16, ""}, {BFLOAT8_B, ""}, {BFLOAT4_B, ""}};
  if (group == "activation") return {{FLOAT32, ""}, {BFLOAT16, ""}};
  return {{BFLOAT16, ""}, {BFLOAT8_B, ""}}; // norm, kv_cache
}

DataType format_of(const nn::Precision& precision, const std::string& group, std::int64_t layer) {
  if (layer == kWholeModel) {
    return group == "lm_head" ? precision.lm_head : group == "norm" ? precision.norm : precision.activation;
  }
  const nn::LayerPrecision& formats = precision.of_layer(layer);
  return group == "wqkv"    ? formats.wqkv
         : group == "wo"    ? formats.wo
         : group == "ff1_3" ? formats.ff1_3
         : group == "ff2"   ? formats.ff2
                            : formats.kv_cache;
}

bool is_of_layers(const std::string& group) {
  return linear_groups().contains(group) || group == "kv_cache";
}

} // namespace

std::string PrecisionKnob::name() const {
  return layer == kWholeModel ? group : fmt::format("layers.{}.{}", layer, group);
}

const std::vector<std::string>& PrecisionSpace::all_groups() {
  static const std::vector<std::string> groups = {"wqkv",     "wo",   "ff1_3",   "ff2",
                                                  "kv_cache", "norm", "lm_head", "activation"};
  return groups;
}

PrecisionSpace::PrecisionSpace(std::string base, const nn::PrecisionSubject& subject,
                               const std::vector<std::string>& groups, bool exact)
    : base_(std::move(base)) {
  const auto& known = all_groups();
  for (const std::string& group : groups) {
    base::require(std::find(known.begin(), known.end(), group) != known.end(),
                  "[tune] the tensor groups are {}; received \"{}\"", fmt::join(known, ", "), group);
  }
  base::require(!base_.ends_with(".json") && base_ != "full",
                "[tune] the search must start from a preset other than full (--precision accuracy); received \"{}\"",
                base_);
  const nn::Precision precision = nn::make_precision(base_, subject);
  for (const std::string& group : known) {
    if (!groups.empty() && std::find(groups.begin(), groups.end(), group) == groups.end()) continue;
    const std::int64_t count = is_of_layers(group) ? subject.layers : 1;
    for (std::int64_t i = 0; i < count; ++i) {
      PrecisionKnob knob{
          .group = group, .layer = is_of_layers(group) ? i : kWholeModel, .choices = choices_of(group, exact)};
      const DataType format = format_of(precision, group, knob.layer);
      const auto has_format = [&](const PrecisionChoice& choice) { return choice.dtype == format; };
      const auto found = std::find_if(knob.choices.begin(), knob.choices.end(), has_format);
      knob.base = static_cast<std::size_t>(found - knob.choices.begin());
      knobs_.push_back(std::move(knob));
    }
  }
}

Assignment PrecisionSpace::base_assignment() const {
  Assignment assignment;
  for (const PrecisionKnob& knob : knobs_) assignment.push_back(knob.base);
  return assignment;
}

nlohmann::json PrecisionSpace::file(const Assignment& assignment) const {
  nlohmann::json file{{"base", base_}};
  for (std::size_t i = 0; i < knobs_.size(); ++i) {
    const PrecisionKnob& knob = knobs_[i];
    if (assignment[i] == knob.base) continue;
    const PrecisionChoice& choice = knob.choices[assignment[i]];
    nlohmann::json& place = knob.layer == kWholeModel ? file : file["layers"][std::to_string(knob.layer)];
    place[knob.group] = short_name(choice.dtype);
    if (!choice.compute.empty()) place[linear_groups().at(knob.group).op_group] = choice.compute;
  }
  return file;
}

} // namespace tessera::bringup
