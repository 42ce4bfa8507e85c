#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tessera/ops/ccl/all_gather.hpp"
#include "tessera/ops/ccl/all_to_all.hpp"
#include "tessera/ops/ccl/mesh_partition.hpp"
#include "tessera/ops/ccl/point_to_point.hpp"
#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/tensor/mesh.hpp"
#include "tests/tensor/host_values.hpp"

namespace tessera::test {

/// What a mesh gives, read on the host: by name.
using Findings = std::vector<std::pair<std::string, std::vector<std::uint32_t>>>;

/// All that crosses ranks: every collective along every axis, eager and in a trace; reads of every chip and of all
/// together; shared tensors; submeshes; a second queue. The same on any number of ranks, bit for bit.
class RanksProgram {
 public:
  explicit RanksProgram(std::shared_ptr<runtime::MeshDevice> mesh) : mesh_(std::move(mesh)) {}

  Findings run() {
    for (const std::optional<int> axis : {std::optional<int>{}, std::optional<int>{0}, std::optional<int>{1}}) {
      collectives(axis, DataType::BFLOAT16);
      collectives(axis, DataType::BFLOAT8_B);
      traced(axis);
    }
    points();
    shared();
    if (mesh_->command_queues() > 1) second_queue();
    submeshes();
    return std::move(findings_);
  }

 private:
  using Tensor = tensor::Tensor;

  static void write(const Tensor& to, std::uint32_t seed) {
    std::vector<tensor::HostRows> sources;
    for (std::uint32_t chip = 0; chip < to.device().chips(); ++chip)
      sources.push_back(tensor::rows_of(random_values(to.shape(), seed + chip)));
    tensor::write_rows(to, tensor::MeshRows(std::move(sources)));
  }
  static Tensor different_on_each(runtime::MeshDevice& device, const Shape& shape, DataType dtype, std::uint32_t seed) {
    const Tensor result = Tensor::allocate(device, {shape, dtype, Layout::TILE, kDramInterleaved}, "x");
    write(result, seed);
    return result;
  }
  void note(const std::string& name, const Tensor& tensor) {
    for (std::int64_t chip = 0; chip < tensor.device().chips(); ++chip)
      findings_.emplace_back(name + " on chip " + std::to_string(chip), bits_of(tensor::to_host(tensor, chip)));
  }

  void collectives(std::optional<int> axis, DataType dtype) {
    const BoardSpec& board = mesh_->board();
    const std::int64_t size = !axis ? board.chips() : *axis == 0 ? board.mesh_rows : board.mesh_columns;
    const ops::CclOptions options{.cluster_axis = axis};
    const std::string where = axis ? " along " + std::to_string(*axis) : " over all";
    const Tensor x = different_on_each(*mesh_, {1, 2, 40, 33 * size}, dtype, 1);
    note("all_gather" + where, ops::all_gather(x, 3, options));
    note("all_gather of rows" + where, ops::all_gather(x, 2, options));
    note("reduce_scatter" + where, ops::reduce_scatter(x, 3, options));
    note("all_reduce" + where, ops::all_reduce(x, options));
    note("all_to_all" + where, ops::all_to_all(x, 3, 2, options));
    note("mesh_partition" + where, ops::mesh_partition(x, 3, options));
    for (const Tensor& part : ops::all_broadcast(x, options)) note("all_broadcast" + where, part);
    findings_.emplace_back("all together" + where, bits_of(tensor::to_host(x, tensor::concat_mesh_to_tensor(2))));
  }

  void traced(std::optional<int> axis) {
    const Tensor x = different_on_each(*mesh_, {1, 1, 5, 64 * mesh_->chips()}, DataType::BFLOAT16, 50);
    const Tensor weight = different_on_each(*mesh_, {1, 1, 64 * mesh_->chips(), 32}, DataType::BFLOAT8_B, 60);
    Tensor sum;
    Tensor together;
    const auto step = [&] {
      sum = ops::all_reduce(ops::linear(x, weight, {}), {.cluster_axis = axis});
      together = ops::all_gather(sum, 3, {.cluster_axis = axis});
    };
    step();
    note("eager", together);
    const runtime::Trace trace(mesh_, 0, step);
    for (std::uint32_t replay = 1; replay < 3; ++replay) {
      write(x, 1000 * replay);
      trace.execute(false);
      note("replayed", together);
    }
  }

  void points() {
    const Tensor x = different_on_each(*mesh_, {1, 1, 33, 50}, DataType::FLOAT32, 70);
    const ops::MeshCoordinate last{mesh_->board().mesh_rows - 1, mesh_->board().mesh_columns - 1};
    note("point_to_point", ops::point_to_point(x, {0, 0}, last));
    const Tensor ids = integers_to_device(*mesh_, {1, 4}, {1, 2, 3, 4});
    for (const std::int32_t id : tensor::to_host_integers(ops::all_gather(ids, 1), mesh_->chips() - 1))
      findings_.emplace_back("ids", std::vector<std::uint32_t>{static_cast<std::uint32_t>(id)});
  }

  void shared() {
    const HostTensor values =
        random_values({1, 1, 64 * mesh_->board().mesh_rows, 32 * mesh_->board().mesh_columns}, 80);
    const TensorSpec whole{values.shape, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved};
    for (const tensor::MeshMapper& mapper :
         {tensor::replicate_tensor_to_mesh(), tensor::shard_tensor_2d_mesh(tensor::MeshCut{-2}, std::nullopt),
          tensor::shard_tensor_2d_mesh(std::nullopt, tensor::MeshCut{-1})}) {
      const Tensor tensor =
          tensor::from_host(*mesh_, tensor::rows_of(values), whole, mapper, "shared", tensor::HostMemory::SHARED);
      note("shared", tensor);
      note("gathered", ops::all_gather(tensor, 3));
    }
  }

  void second_queue() {
    const Tensor x = different_on_each(*mesh_, {1, 1, 32, 320}, DataType::BFLOAT16, 90);
    const Tensor y = different_on_each(*mesh_, {1, 1, 32, 320}, DataType::BFLOAT16, 95);
    const runtime::Event written = mesh_->record_event(0);
    mesh_->wait_for_event(1, written);
    std::vector<tensor::Read<HostTensor>> reads;
    Tensor sum = x;
    for (int round = 0; round < 20; ++round) {
      sum = ops::all_reduce(sum);
      const runtime::QueueScope second(*mesh_, 1);
      reads.push_back(tensor::begin_read(ops::all_gather(y, 3), round % mesh_->chips()));
    }
    note("sums", sum);
    for (auto& read : reads) findings_.emplace_back("beside", bits_of(read.get()));
  }

  void submeshes() {
    mesh_->synchronize();
    const auto parts = mesh_->create_submeshes(1, mesh_->board().mesh_columns);
    std::vector<Tensor> sums;
    for (std::uint32_t i = 0; i < parts.size(); ++i) {
      const Tensor x = different_on_each(*parts[i], {1, 1, 32, 96}, DataType::BFLOAT16, 100 + 10 * i);
      sums.push_back(ops::all_reduce(x));
    }
    for (const Tensor& sum : sums) note("submesh " + sum.device().name(), sum);
  }

  std::shared_ptr<runtime::MeshDevice> mesh_;
  Findings findings_;
};

} // namespace tessera::test
