#include "tessera/reference/ops/golden_call.hpp"

// Collectives: what the chip of a request gets of the inputs of its group.

namespace tessera::reference {
namespace {

/// The chips of the request's group, in the order of their places: all of them, or those along a mesh axis.
struct Group {
  std::vector<std::int64_t> members;
  std::int64_t place; ///< of the request's chip

  explicit Group(const GoldenCall& call) {
    const bool down = call.has_attribute("cluster_axis") && call.integer("cluster_axis") == 0;
    const std::int64_t size = call.integer("num_devices");
    const std::int64_t stride = down ? call.mesh_columns() : 1;
    place = call.chip() / stride % size;
    for (std::int64_t i = 0; i < size; ++i) members.push_back(call.chip() + (i - place) * stride);
  }
  std::int64_t size() const { return static_cast<std::int64_t>(members.size()); }
};

/// The part of a tensor that belongs to a place.
at::Tensor share(const at::Tensor& x, std::int64_t dim, std::int64_t parts, std::int64_t place) {
  return x.narrow(dim, x.size(dim) / parts * place, x.size(dim) / parts);
}

GoldenOutputs all_gather(const GoldenCall& call) {
  const Group group(call);
  std::vector<at::Tensor> parts;
  for (const std::int64_t member : group.members) parts.push_back(call.input("input_tensor", member));
  return {golden_output(call.output(), at::cat(parts, call.integer("dim")))};
}

GoldenOutputs all_broadcast(const GoldenCall& call) {
  const Group group(call);
  GoldenOutputs outputs;
  for (const std::int64_t member : group.members)
    outputs.push_back(golden_output(call.output(outputs.size()), call.input("input_tensor", member)));
  return outputs;
}

GoldenOutputs all_to_all(const GoldenCall& call) {
  const Group group(call);
  std::vector<at::Tensor> parts;
  for (const std::int64_t member : group.members)
    parts.push_back(share(call.input("input_tensor", member), call.integer("split_dim"), group.size(), group.place));
  return {golden_output(call.output(), at::cat(parts, call.integer("concat_dim")))};
}

GoldenOutputs mesh_partition(const GoldenCall& call) {
  const Group group(call);
  return {
      golden_output(call.output(), share(call.input("input_tensor"), call.integer("dim"), group.size(), group.place))};
}

at::Tensor sum_of(const GoldenCall& call, const Group& group) {
  at::Tensor sum = call.input("input_tensor", group.members.front());
  for (std::size_t i = 1; i < group.members.size(); ++i) sum = sum + call.input("input_tensor", group.members[i]);
  return sum;
}

GoldenOutputs reduce_scatter(const GoldenCall& call) {
  const Group group(call);
  return {golden_output(call.output(), share(sum_of(call, group), call.integer("dim"), group.size(), group.place))};
}

GoldenOutputs all_reduce(const GoldenCall& call) {
  return {golden_output(call.output(), sum_of(call, Group(call)))};
}

std::int64_t chip_at(const GoldenCall& call, std::string_view attribute) {
  const auto place = call.coordinate(attribute);
  return place[0] * call.mesh_columns() + place[1];
}

GoldenOutputs point_to_point(const GoldenCall& call) {
  const bool receives = call.chip() == chip_at(call, "receiver_coord");
  return {
      golden_output(call.output(), call.input("input_tensor", receives ? chip_at(call, "sender_coord") : call.chip()))};
}

constexpr GoldenEntry kEntries[] = {{"all_gather", all_gather, true},         {"all_broadcast", all_broadcast, true},
                                    {"all_to_all", all_to_all, true},         {"mesh_partition", mesh_partition, true},
                                    {"reduce_scatter", reduce_scatter, true}, {"all_reduce", all_reduce, true},
                                    {"point_to_point", point_to_point, true}};

} // namespace

std::span<const GoldenEntry> collective_goldens() {
  return kEntries;
}

} // namespace tessera::reference
