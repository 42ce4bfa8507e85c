#include "tessera/bringup/ops/op_calls.hpp"
#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/all_to_all.hpp"
#include "tessera/ops/ccl/mesh_partition.hpp"
#include "tessera/ops/ccl/point_to_point.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/data_movement/concat.hpp"
#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/transformer/heads.hpp"

namespace tessera::bringup {
namespace {

using tensor::Tensor;

OpOutputs copy(const OpCall& call) {
  const Tensor output = call.output_tensor();
  ops::copy(call.input("input_tensor"), output);
  return {output};
}

OpOutputs slice(const OpCall& call) {
  const Tensor x = call.input("input_tensor");
  if (call.has_attribute("first_column"))
    return {ops::slice_columns(x, call.integer("first_column"), call.integer("last_column"))};
  if (call.has_attribute("first_row"))
    return {ops::slice_rows(x, call.integer("first_row"), call.integer("last_row"), call.integer("step"))};
  return {ops::slice_rows(x, call.input("first"), call.integer("rows"))};
}

OpOutputs concat(const OpCall& call) {
  return {ops::concat_rows(call.input("a"), call.input("b"), call.integer("batch_size"))};
}

OpOutputs fold(const OpCall& call) {
  const auto padding = call.extent("padding");
  return {ops::fold(call.input("input_tensor"), {.stride = {call.integer("stride_h"), call.integer("stride_w")},
                                                 .padding = {padding[0], padding[1]},
                                                 .use_transpose_as_fold = call.flag("use_transpose_as_fold"),
                                                 .batch_size = call.integer("batch_size"),
                                                 .input_height = call.integer("input_height"),
                                                 .input_width = call.integer("input_width"),
                                                 .dtype = call.output().dtype,
                                                 .memory_config = {}})};
}

OpOutputs embedding(const OpCall& call) {
  return {ops::embedding(call.input("input_tensor"), call.input("weight"), {.dtype = call.output().dtype})};
}

OpOutputs create_heads(const OpCall& call) {
  const ops::CreateHeadsOptions options{.num_heads = call.integer("num_heads"),
                                        .num_kv_heads = call.integer("num_kv_heads"),
                                        .batch_size = call.integer("batch_size"),
                                        .memory_config = call.output().memory_config};
  const Tensor x = call.input("input_tensor");
  const bool decode = call.record().name == "nlp_create_qkv_heads_decode";
  const ops::QkvHeads heads =
      decode ? ops::nlp_create_qkv_heads_decode(x, options) : ops::nlp_create_qkv_heads(x, options);
  return {heads.q, heads.k, heads.v};
}

OpOutputs concat_heads(const OpCall& call) {
  return {ops::nlp_concat_heads(call.input("input_tensor"))};
}

OpOutputs concat_heads_decode(const OpCall& call) {
  return {ops::nlp_concat_heads_decode(call.input("input_tensor"))};
}

constexpr OpEntry kMovement[] = {{"copy", copy},
                                 {"to_memory_config", copy},
                                 {"interleaved_to_sharded", copy},
                                 {"sharded_to_interleaved", copy},
                                 {"reshard", copy},
                                 {"slice", slice},
                                 {"concat", concat},
                                 {"fold", fold},
                                 {"embedding", embedding},
                                 {"nlp_create_qkv_heads", create_heads},
                                 {"nlp_create_qkv_heads_decode", create_heads},
                                 {"nlp_concat_heads", concat_heads},
                                 {"nlp_concat_heads_decode", concat_heads_decode}};

ops::Topology topology_of(const OpCall& call) {
  return call.text("topology") == "Ring" ? ops::Topology::Ring : ops::Topology::Linear;
}

ops::CclOptions options_of(const OpCall& call) {
  ops::CclOptions options{
      .cluster_axis = {}, .topology = topology_of(call), .num_links = call.integer("num_links"), .memory_config = {}};
  if (call.has_attribute("cluster_axis")) options.cluster_axis = static_cast<int>(call.integer("cluster_axis"));
  return options;
}

int dim_of(const OpCall& call, std::string_view name = "dim") {
  return static_cast<int>(call.integer(name));
}

OpOutputs all_gather(const OpCall& call) {
  return {ops::all_gather(call.input("input_tensor"), dim_of(call), options_of(call))};
}

OpOutputs all_broadcast(const OpCall& call) {
  return ops::all_broadcast(call.input("input_tensor"), options_of(call));
}

OpOutputs all_to_all(const OpCall& call) {
  return {ops::all_to_all(call.input("input_tensor"), dim_of(call, "split_dim"), dim_of(call, "concat_dim"),
                          options_of(call))};
}

OpOutputs mesh_partition(const OpCall& call) {
  return {ops::mesh_partition(call.input("input_tensor"), dim_of(call), options_of(call))};
}

OpOutputs reduce_scatter(const OpCall& call) {
  return {ops::reduce_scatter(call.input("input_tensor"), dim_of(call), options_of(call))};
}

OpOutputs all_reduce(const OpCall& call) {
  return {ops::all_reduce(call.input("input_tensor"), options_of(call))};
}

OpOutputs point_to_point(const OpCall& call) {
  const auto sender = call.coordinate("sender_coord");
  const auto receiver = call.coordinate("receiver_coord");
  return {ops::point_to_point(
      call.input("input_tensor"), {sender[0], sender[1]}, {receiver[0], receiver[1]},
      {.topology = topology_of(call), .num_links = call.integer("num_links"), .memory_config = {}})};
}

constexpr OpEntry kCollectives[] = {{"all_gather", all_gather},         {"all_broadcast", all_broadcast},
                                    {"all_to_all", all_to_all},         {"mesh_partition", mesh_partition},
                                    {"reduce_scatter", reduce_scatter}, {"all_reduce", all_reduce},
                                    {"point_to_point", point_to_point}};

} // namespace

std::span<const OpEntry> movement_calls() {
  return kMovement;
}

std::span<const OpEntry> collective_calls() {
  return kCollectives;
}

} // namespace tessera::bringup
