#include "tessera/nn/weights.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/tensor_view.hpp"
#include "tessera/kernels/kernels.hpp"

namespace tessera::nn {
namespace {

using checkpoint::StorageType;
using checkpoint::TensorView;

/// A seed of a tensor's own: FNV-1a of its name, begun at the model's seed.
std::uint64_t mix(std::uint64_t seed, const std::string& name) {
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return seed;
}

/// Reads a floating-point tensor row by row. The view keeps the mapped file alive.
HostRows rows_of_view(const TensorView& view, std::int64_t rows, std::int64_t columns) {
  HostRows result{.rows = rows, .columns = columns, .mapped = view.mapped};
  result.read = [view, columns](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
    checkpoint::copy_as_float(view, static_cast<std::size_t>(row * columns + first),
                              {out, static_cast<std::size_t>(count)});
  };
  if (view.dtype == StorageType::BF16) {
    result.bf16_row = [view, columns](std::int64_t row, std::byte*) { return view.data.data() + row * columns * 2; };
  }
  return result;
}

} // namespace

WeightLoader::WeightLoader(runtime::MeshDevice& device, const checkpoint::Checkpoint& checkpoint,
                           bool weights_as_stored, DataType stored_dtype, std::optional<std::uint64_t> random_seed,
                           std::shared_ptr<WeightCache> cache, std::vector<Tensor> originals)
    : device_(device),
      checkpoint_(checkpoint),
      weights_as_stored_(weights_as_stored),
      stored_dtype_(stored_dtype),
      random_seed_(random_seed),
      cache_(std::move(cache)),
      originals_(std::move(originals)) {
  base::require(checkpoint.has_weights() || random_seed || device.mode() == runtime::RunMode::RECORD,
                "[load] a checkpoint with weights is required; {} has none; add model.safetensors",
                checkpoint.folder().string());
}

bool WeightLoader::has(const std::string& name) const {
  return random_seed_ || !checkpoint_.has_weights() || checkpoint_.contains(name);
}

HostRows WeightLoader::rows(const std::string& name, std::int64_t rows, std::int64_t columns) const {
  const bool vector =
      rows == 1 && !random_seed_ && checkpoint_.has_weights() && checkpoint_.tensor(name).shape.size() == 1;
  return rows_of_shape(name, vector ? std::vector{columns} : std::vector{rows, columns}, rows, columns);
}

HostRows WeightLoader::filters(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const std::int64_t columns = std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>());
  return rows_of_shape(name, shape, shape.front(), columns);
}

HostRows WeightLoader::rows_of_shape(const std::string& name, std::vector<std::int64_t> expected, std::int64_t rows,
                                     std::int64_t columns) const {
  if (random_seed_) return random_rows(rows, columns, mix(*random_seed_, name));
  if (!checkpoint_.has_weights()) return {rows, columns, nullptr};
  const TensorView& view = checkpoint_.tensor(name);
  base::require<base::IoError>(
      view.shape == expected,
      "[load] {} must have the shape [{}]; the file holds [{}]; does config.json belong to these weights?", name,
      fmt::join(expected, ", "), fmt::join(view.shape, ", "));
  base::require<base::IoError>(
      view.dtype == StorageType::F32 || view.dtype == StorageType::F16 || view.dtype == StorageType::BF16,
      "[load] {} must be F32, F16 or BF16; the file holds {}; convert the checkpoint", name,
      checkpoint::to_string(view.dtype));
  return rows_of_view(view, rows, columns);
}

DataType WeightLoader::format(DataType dtype, const std::vector<std::string>& names) const {
  if (!weights_as_stored_) return dtype;
  if (random_seed_ || !checkpoint_.has_weights()) return stored_dtype_;
  const bool all_bf16 = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return checkpoint_.tensor(name).dtype == StorageType::BF16;
  });
  return all_bf16 ? DataType::BFLOAT16 : DataType::FLOAT32;
}

Tensor WeightLoader::put(const TensorSpec& spec, std::string_view name, const runtime::Sharing& sharing,
                         std::function<void(const Tensor&)> convert) const {
  if (!originals_.empty()) {
    const Tensor& original = originals_.at(loaded_.size());
    base::require(original.spec() == spec, "[load] the original's {} must be {}; it is {}", name, to_string(spec),
                  to_string(original.spec()));
    return loaded_.emplace_back(Tensor::share(device_, original, name));
  }
  Tensor weight = loaded_.emplace_back(Tensor::allocate(device_, spec, name, sharing));
  if (cache_) {
    cache_->add(weight, [weight, convert = std::move(convert)] { convert(weight); });
  } else {
    convert(weight);
  }
  return weight;
}

Tensor WeightLoader::matmul_weight(const MeshRows& rows, DataType dtype, std::string_view name,
                                   const runtime::Sharing& sharing) const {
  return put({{1, 1, rows[0].columns, rows[0].rows}, dtype, Layout::TILE, kDramInterleaved}, name, sharing,
             [rows](const Tensor& weight) { tensor::write_transposed(weight, rows); });
}

Tensor WeightLoader::vector(const MeshRows& rows, DataType dtype, std::string_view name,
                            const runtime::Sharing& sharing) const {
  return matrix(rows, dtype, name, sharing);
}

Tensor WeightLoader::matrix(const MeshRows& rows, DataType dtype, std::string_view name,
                            const runtime::Sharing& sharing) const {
  return put({{1, 1, rows[0].rows, rows[0].columns}, dtype, Layout::TILE, kDramInterleaved}, name, sharing,
             [rows](const Tensor& weight) { tensor::write_rows(weight, rows); });
}

Tensor WeightLoader::table(const MeshRows& rows, DataType dtype, std::string_view name,
                           const runtime::Sharing& sharing) const {
  return put({{1, 1, rows[0].rows, rows[0].columns}, dtype, Layout::ROW_MAJOR, kDramInterleaved}, name, sharing,
             [rows](const Tensor& weight) { tensor::write_rows(weight, rows); });
}

std::shared_ptr<const void> WeightLoader::finish() const {
  if (cache_) cache_->finish();
  device_.synchronize();
  return cache_;
}

HostRows random_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  const auto key = [seed](std::int64_t row) {
    // SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators") of the row's number.
    std::uint64_t bits = seed + static_cast<std::uint64_t>(row) * 0x9E3779B97F4A7C15U;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9U;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBU;
    return bits ^ (bits >> 31);
  };
  const bool vector = rows == 1;
  HostRows result{.rows = rows, .columns = columns};
  result.read = [key, vector](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
    std::vector<std::uint16_t> patterns(static_cast<std::size_t>(count));
    kernels::kernels().random_bf16(key(row), first, count, reinterpret_cast<std::byte*>(patterns.data()));
    std::transform(patterns.begin(), patterns.end(), out, [vector](std::uint16_t pattern) {
      return (vector ? 1.0F : 0.0F) + checkpoint::bfloat16_to_float(pattern);
    });
  };
  if (!vector) {
    result.bf16_row = [key, columns](std::int64_t row, std::byte* scratch) {
      kernels::kernels().random_bf16(key(row), 0, columns, scratch);
      return scratch;
    };
  }
  return result;
}

HostRows concat_rows(std::vector<HostRows> parts) {
  HostRows result{.columns = parts.front().columns, .mapped = true};
  bool all_bf16 = true;
  for (const HostRows& part : parts) {
    result.rows += part.rows;
    result.mapped = result.mapped && part.mapped;
    all_bf16 = all_bf16 && part.bf16_row;
  }
  /// The part with row `row` of all; `row` becomes its number there.
  const auto find = [parts = std::move(parts)](std::int64_t& row) -> const HostRows& {
    std::size_t part = 0;
    while (row >= parts[part].rows) row -= parts[part++].rows;
    return parts[part];
  };
  if (all_bf16) {
    result.bf16_row = [find](std::int64_t row, std::byte* scratch) {
      const HostRows& part = find(row);
      return part.bf16_row(row, scratch);
    };
  }
  result.read = [find](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
    const HostRows& part = find(row);
    part.read(row, first, count, out);
  };
  return result;
}

HostRows part_of(const HostRows& matrix, TensorParallel::Range rows, TensorParallel::Range columns) {
  if (rows == TensorParallel::Range{0, matrix.rows} && columns == TensorParallel::Range{0, matrix.columns})
    return matrix;
  return tensor::slice(matrix, rows.first, rows.count, columns.first, columns.count);
}

HostRows zeros_like(const HostRows& matrix) {
  return {matrix.rows, matrix.columns,
          [](std::int64_t, std::int64_t, std::int64_t count, float* out) { std::fill_n(out, count, 0.0F); }};
}

std::int64_t half_split_index(std::int64_t index, std::int64_t head_dim, std::int64_t rotary_dim) {
  const std::int64_t head = index / head_dim;
  const std::int64_t within = index % head_dim;
  if (within >= rotary_dim) return index;
  return head * head_dim + within / 2 + (within % 2) * rotary_dim / 2;
}

HostRows interleave_rotary(HostRows source, std::int64_t head_dim, std::int64_t rotary_dim) {
  HostRows result = source;
  result.read = [read = source.read, head_dim, rotary_dim](std::int64_t row, std::int64_t first, std::int64_t count,
                                                           float* out) {
    read(half_split_index(row, head_dim, rotary_dim), first, count, out);
  };
  if (source.bf16_row) {
    result.bf16_row = [bf16_row = source.bf16_row, head_dim, rotary_dim](std::int64_t row, std::byte* scratch) {
      return bf16_row(half_split_index(row, head_dim, rotary_dim), scratch);
    };
  }
  return result;
}

HostRows transposed(HostRows source) {
  const std::int64_t rows = source.columns;
  const std::int64_t columns = source.rows;
  return {rows, columns,
          [source = std::move(source)](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
            for (std::int64_t i = 0; i < count; ++i) source.read(first + i, row, 1, out + i);
          }};
}

HostRows raised(HostRows source, float offset) {
  const std::int64_t rows = source.rows;
  const std::int64_t columns = source.columns;
  return {rows, columns,
          [source = std::move(source), offset](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
            source.read(row, first, count, out);
            for (std::int64_t i = 0; i < count; ++i) out[i] += offset;
          }};
}

} // namespace tessera::nn
