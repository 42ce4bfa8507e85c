// DecoderModel::run_module: single modules on data of the caller's, for the module tests of a bring-up.

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "tessera/base/error.hpp"
#include "tessera/nn/decoder_model.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/transformer/rotary_embedding.hpp"
#include "tessera/spec/sharding.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

/// Rows `first`, `first + stride`, ... of x folded to two dimensions.
HostTensor take_rows(const HostTensor& x, std::int64_t first, std::int64_t stride, std::int64_t count) {
  const std::int64_t width = x.shape[-1];
  HostTensor rows{Shape{count, width}, {}};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = x.row(first + i * stride);
    rows.data.insert(rows.data.end(), row.begin(), row.end());
  }
  return rows;
}

/// Inverse of take_rows; the first call gives `y` its width.
void put_rows(HostTensor& y, const HostTensor& rows, std::int64_t first, std::int64_t stride) {
  const std::int64_t width = rows.shape[-1];
  if (y.data.empty()) {
    y.shape = y.shape.with(-1, width);
    y.data.resize(static_cast<std::size_t>(y.shape.volume()));
  }
  for (std::int64_t i = 0; i < rows.shape[0]; ++i) {
    const auto row = rows.row(i);
    std::copy(row.begin(), row.end(), y.data.begin() + (first + i * stride) * width);
  }
}

/// Activations of `shape` where an op would put them.
TensorSpec spec_at(const runtime::MeshDevice& device, const Shape& shape, DataType dtype, const MemoryConfig& place) {
  TensorSpec spec{shape, dtype, Layout::TILE, place};
  if (place.is_sharded()) spec.memory_config = sharded_over(spec, place.memory_layout, device.board().arch);
  return spec;
}

/// Rows [R, E] of which chip c takes the columns range(c).
template <typename RangeOfChip>
tensor::Tensor upload(runtime::MeshDevice& device, const HostTensor& rows, const RangeOfChip& range,
                      const ForwardContext& context) {
  const std::int64_t count = rows.shape[0];
  const Shape shape{1, 1, count, range(0).count};
  const tensor::Tensor x = tensor::Tensor::allocate(
      device, spec_at(device, shape, context.activation, context.memory_config), "module_input");
  const HostRows whole = tensor::rows_of(rows);
  tensor::write_rows(x, context.parallel.of_chips([&](std::int64_t chip) {
    return part_of(whole, {0, count}, range(chip));
  }));
  return x;
}

/// "embedding", "layers.N.input_norm", ..., "layers.N", ..., "lm_head".
std::vector<std::string> modules_of_one_layer(const CausalLM& model) {
  constexpr std::string_view kFirst = "layers.0";
  std::vector<std::string> names = model.module_names();
  std::erase_if(names,
                [&](const std::string& name) { return name.starts_with("layers.") && !name.starts_with(kFirst); });
  for (std::string& name : names) {
    if (name.starts_with(kFirst)) name = "layers.N" + name.substr(kFirst.size());
  }
  return names;
}

HostTensor as_rows(HostTensor tensor) {
  tensor.shape = Shape{tensor.shape[-2], tensor.shape[-1]};
  return tensor;
}

} // namespace

HostTensor DecoderModel::run_module(std::string_view name, const HostTensor& x, Phase phase) {
  const bool ids = name == "embedding";
  base::require(x.shape.rank() == (ids ? 2U : 3U) && x.shape.volume() > 0 &&
                    x.shape.volume() == static_cast<std::int64_t>(x.data.size()),
                "[run_module] {} takes {}; received {}", name, ids ? "[B, S]" : "[B, S, width]", x.shape);
  const RowsModule run = module(name);
  const std::int64_t batch = x.shape[0];
  const std::int64_t length = x.shape[1];
  const HostTensor rows = ids ? HostTensor{Shape{batch, length, 1}, x.data} : x;
  HostTensor y{Shape{batch, length, 1}, {}};
  if (phase == Phase::PREFILL) {
    check_prompt(0, length);
    const std::int64_t first_row = rope_.first_row(length);
    inputs_.write_prompt(0, std::vector<std::int32_t>(static_cast<std::size_t>(length)));
    for (std::int64_t sequence = 0; sequence < batch; ++sequence) {
      put_rows(y, run(take_rows(rows, sequence * length, 1, length), prefill_context(length, first_row)),
               sequence * length, 1);
    }
    return y;
  }
  for (std::int64_t first = 0; first < batch; first += info_.max_users) {
    const std::int64_t users = std::min(info_.max_users, batch - first);
    for (std::int64_t position = 0; position < length; ++position) {
      const std::vector<std::int32_t> positions(static_cast<std::size_t>(users), static_cast<std::int32_t>(position));
      check_positions(positions);
      for (std::int64_t user = 0; position == 0 && user < users; ++user) begin_sequence(user, length);
      inputs_.write_users(std::vector<std::int32_t>(positions.size()), positions, rotary_rows(positions));
      put_rows(y,
               run(take_rows(rows, first * length + position, length, users), decode_context(inputs_.of_users(users))),
               first * length + position, length);
    }
  }
  return y;
}

DecoderModel::RowsModule DecoderModel::module(std::string_view name) const {
  using Forward = std::function<tensor::Tensor(const tensor::Tensor&, const ForwardContext&)>;
  const auto checked = [width = config_.hidden_size](const HostTensor& rows) -> const HostTensor& {
    base::require(rows.shape[1] == width, "[run_module] rows of {} values are required; received {}", width,
                  rows.shape[1]);
    return rows;
  };
  const auto upload_residual = [this, checked](const HostTensor& rows, const ForwardContext& context) {
    return upload(
        *device_, checked(rows), [this](std::int64_t chip) { return parallel_.residual(chip); }, context);
  };
  const auto upload_input = [this, checked](const HostTensor& rows, const ForwardContext& context) {
    return upload(
        *device_, checked(rows), [this](std::int64_t chip) { return parallel_.input(chip); }, context);
  };
  // What a module takes and gives (TensorParallel).
  const auto norm = [=, this](Forward forward) -> RowsModule {
    return [=, this, forward = std::move(forward)](const HostTensor& rows, const ForwardContext& context) {
      return as_rows(parallel_.input_to_host(forward(upload_residual(rows, context), context)));
    };
  };
  const auto output_norm = [=, this](const Norm& of_output) -> RowsModule {
    return [=, this, &of_output](const HostTensor& rows, const ForwardContext& context) {
      return as_rows(parallel_.residual_to_host(of_output.forward_residual(upload_residual(rows, context), context)));
    };
  };
  const auto block = [=, this](Forward forward) -> RowsModule {
    return [=, this, forward = std::move(forward)](const HostTensor& rows, const ForwardContext& context) {
      return as_rows(parallel_.residual_to_host(forward(upload_input(rows, context), context)));
    };
  };
  if (name == "embedding") {
    return [this](const HostTensor& rows, const ForwardContext& context) {
      const std::vector<std::int32_t> ids(rows.data.begin(), rows.data.end());
      check_ids(ids);
      const auto count = static_cast<std::int64_t>(ids.size());
      const TensorSpec spec{{1, 1, count}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};
      return as_rows(parallel_.residual_to_host(embed(tensor::from_host(*device_, ids, spec, "ids"), context)));
    };
  }
  if (name == "final_norm")
    return norm([this](const auto& x, const auto& context) { return final_norm_.forward(x, context); });
  if (name == "lm_head") {
    return [=, this](const HostTensor& rows, const ForwardContext& context) {
      return as_rows(tensor::to_host(head(upload_input(rows, context), context)));
    };
  }

  constexpr std::string_view kPrefix = "layers.";
  std::int64_t number = -1;
  if (name.starts_with(kPrefix)) {
    const std::string_view rest = name.substr(kPrefix.size());
    const char* end = std::from_chars(rest.data(), rest.data() + rest.size(), number).ptr;
    if (0 <= number && number < info_.layers) {
      const DecoderLayer& layer = layers_[static_cast<std::size_t>(number)];
      const std::string_view part(end, static_cast<std::size_t>(rest.data() + rest.size() - end));
      if (part.empty()) {
        return [=, this, &layer](const HostTensor& rows, const ForwardContext& context) {
          return as_rows(parallel_.residual_to_host(layer.forward(upload_residual(rows, context), context)));
        };
      }
      if (part == ".input_norm")
        return norm([&layer](const auto& x, const auto& context) { return layer.input_norm.forward(x, context); });
      if (part == ".attention")
        return block([&layer](const auto& x, const auto& context) { return layer.attention.forward(x, context); });
      if (part == ".post_attention_norm" && config_.mlp_norm)
        return norm(
            [&layer](const auto& x, const auto& context) { return layer.post_attention_norm.forward(x, context); });
      if (part == ".attention_output_norm" && config_.output_norms) return output_norm(layer.attention_output_norm);
      if (part == ".mlp_output_norm" && config_.output_norms) return output_norm(layer.mlp_output_norm);
      if (part == ".mlp")
        return block([&layer](const auto& x, const auto& context) { return layer.feed_forward(x, context); });
      if (part == ".rope" && info_.rope)
        return [this](const HostTensor& rows, const ForwardContext& context) { return rotate_rows(rows, context); };
    }
  }
  throw base::InvalidArgument(
      fmt::format("[run_module] one of the model's modules, {} (N in 0..{}), is required; received {}",
                  fmt::join(modules_of_one_layer(*this), ", "), info_.layers - 1, name));
}

HostTensor DecoderModel::rotate_rows(const HostTensor& rows, const ForwardContext& context) const {
  const std::int64_t count = rows.shape[0];
  const std::int64_t heads = config_.heads;
  const std::int64_t head_dim = config_.head_dim;
  const std::int64_t turned = config_.rope.turned(head_dim);
  const bool decode = context.phase == Phase::DECODE;
  base::require(rows.shape[1] == heads * head_dim, "[run_module] rows of {} values are required; received {}",
                heads * head_dim, rows.shape[1]);
  // Where value (row, head, d) of the caller's half-split order lies in the op's [1, R, H, D] or [1, H, R, D].
  const auto place = [&](std::int64_t row, std::int64_t head, std::int64_t d) {
    return ((decode ? row * heads + head : head * count + row) * head_dim) + d;
  };
  const auto for_each = [&](auto&& move) {
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t head = 0; head < heads; ++head) {
        for (std::int64_t d = 0; d < head_dim; ++d) {
          move(static_cast<std::size_t>(place(row, head, d)),
               static_cast<std::size_t>((row * heads + head) * head_dim + half_split_index(d, head_dim, turned)));
        }
      }
    }
  };
  HostTensor heads_first{rows.shape, std::vector<float>(rows.data.size())};
  for_each([&](std::size_t device_index, std::size_t host_index) {
    heads_first.data[device_index] = rows.data[host_index];
  });
  const Shape shape = decode ? Shape{1, count, heads, head_dim} : Shape{1, heads, count, head_dim};
  heads_first.shape = shape;
  const tensor::Tensor x =
      tensor::from_host(*device_, tensor::rows_of(std::move(heads_first)),
                        spec_at(*device_, shape, context.activation, context.heads_memory_config), "module_input");
  const HostTensor rotated =
      tensor::to_host(ops::rotary_embedding_llama(x, context.rope.cos, context.rope.sin, decode));
  HostTensor y{rows.shape, std::vector<float>(rows.data.size())};
  for_each([&](std::size_t device_index, std::size_t host_index) { y.data[host_index] = rotated.data[device_index]; });
  return y;
}

} // namespace tessera::nn
