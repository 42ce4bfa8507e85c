#include "tessera/nn/step_inputs.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "tessera/spec/tile.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::nn {
namespace {

tensor::Tensor rows_of(runtime::MeshDevice& device, const Shape& shape, DataType dtype, std::string_view name) {
  return tensor::zeros(device, {shape, dtype, Layout::ROW_MAJOR, kDramInterleaved}, name);
}

void write_floats(const tensor::Tensor& tensor, std::vector<float> values) {
  tensor::write_rows(tensor, tensor::rows_of({tensor.shape(), std::move(values)}));
}

} // namespace

StepInputs::StepInputs(runtime::MeshDevice& device, std::int64_t users, std::int64_t context)
    : prompt(rows_of(device, {1, 1, round_up(context, kTileHeight)}, DataType::INT32, "prompt")),
      prompt_positions(rows_of(device, prompt.shape(), DataType::INT32, "prompt_positions")),
      user(rows_of(device, {1}, DataType::INT32, "user")),
      last_row(rows_of(device, {1}, DataType::INT32, "last_row")),
      ids(rows_of(device, {1, 1, users}, DataType::INT32, "ids")),
      positions(rows_of(device, {users}, DataType::INT32, "positions")),
      rotary_positions(rows_of(device, {1, users, 1}, DataType::INT32, "rotary_positions")),
      temperature(rows_of(device, {users}, DataType::FLOAT32, "temperature")),
      top_k(rows_of(device, {users}, DataType::INT32, "top_k")),
      top_p(rows_of(device, {users}, DataType::FLOAT32, "top_p")),
      seed(rows_of(device, {users, 2}, DataType::INT32, "seed")),
      drawn{rows_of(device, ids.shape(), DataType::INT32, "drawn"),
            rows_of(device, ids.shape(), DataType::INT32, "drawn")} {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(prompt_positions.shape().volume()));
  std::iota(numbers.begin(), numbers.end(), 0);
  tensor::write(prompt_positions, std::move(numbers));
}

StepInputs StepInputs::of_users(std::int64_t rows) const {
  StepInputs part = *this;
  part.ids = ids.leading(2, rows);
  part.rotary_positions = rotary_positions.leading(1, rows);
  for (tensor::Tensor* tensor : {&part.positions, &part.temperature, &part.top_k, &part.top_p, &part.seed})
    *tensor = tensor->leading(0, rows);
  return part;
}

void StepInputs::write_prompt(std::int64_t user_number, std::span<const std::int32_t> prompt_ids) const {
  tensor::write(prompt.leading(2, static_cast<std::int64_t>(prompt_ids.size())),
                {prompt_ids.begin(), prompt_ids.end()});
  tensor::write(user, {static_cast<std::int32_t>(user_number)});
  tensor::write(last_row, {static_cast<std::int32_t>(prompt_ids.size()) - 1});
}

void StepInputs::write_users(std::span<const std::int32_t> user_ids, std::span<const std::int32_t> user_positions,
                             std::span<const std::int32_t> rotary_rows) const {
  const auto rows = static_cast<std::int64_t>(user_ids.size());
  std::vector<std::int32_t> used(user_ids.begin(), user_ids.end());
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (user_positions[i] < 0) used[i] = 0;
  }
  const StepInputs part = of_users(rows);
  tensor::write(part.ids, std::move(used));
  tensor::write(part.positions, {user_positions.begin(), user_positions.end()});
  tensor::write(part.rotary_positions, {rotary_rows.begin(), rotary_rows.end()});
}

void StepInputs::write_sampling(std::span<const std::optional<TokenUser>> users) const {
  const std::size_t count = users.size();
  std::vector<float> temperatures(count, 0.0F);
  std::vector<float> shares(count, 1.0F);
  std::vector<std::int32_t> counts(count, 0);
  std::vector<std::int32_t> seeds(2 * count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (!users[i]) continue;
    temperatures[i] = users[i]->sampling.temperature;
    shares[i] = users[i]->sampling.top_p;
    counts[i] = users[i]->sampling.top_k;
    seeds[2 * i] = static_cast<std::int32_t>(users[i]->seed);
    seeds[2 * i + 1] = static_cast<std::int32_t>(users[i]->seed >> 32);
  }
  const StepInputs part = of_users(static_cast<std::int64_t>(count));
  write_floats(part.temperature, std::move(temperatures));
  write_floats(part.top_p, std::move(shares));
  tensor::write(part.top_k, std::move(counts));
  tensor::write(part.seed, std::move(seeds));
}

} // namespace tessera::nn
