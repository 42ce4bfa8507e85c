#include "tessera/base/error.hpp"
#include "tessera/reference/ops/golden_call.hpp"

// Writes into the paged cache. What counts of the output are the rows written.

namespace tessera::reference {
namespace {

/// The cache [blocks, H, block_size, D] as it becomes.
class Cache {
 public:
  explicit Cache(const GoldenCall& call)
      : cache_(call.input("cache_tensor")),
        table_(call.integers("page_table")),
        width_(call.input("page_table").size(1)),
        written_(static_cast<std::size_t>(cache_.size(0) * cache_.size(1) * cache_.size(2)), 0) {}

  /// rows [H, D]: what each head keeps of a position. A page of -1 is skipped.
  void write(std::int64_t user, std::int64_t position, const at::Tensor& rows) {
    const std::int64_t block_size = cache_.size(2);
    base::require(0 <= position && position / block_size < width_,
                  "[golden] positions below {} are required; received {}", width_ * block_size, position);
    const std::int64_t users = std::ssize(table_) / width_;
    base::require(0 <= user && user < users, "[golden] a user in 0..{} is required; received {}", users - 1, user);
    const std::int64_t block = table_[static_cast<std::size_t>(user * width_ + position / block_size)];
    if (block < 0) return;
    base::require(block < cache_.size(0), "[golden] a page table's entries are below {}; received {}", cache_.size(0),
                  block);
    const std::int64_t row = position % block_size;
    cache_[block].select(1, row).copy_(rows);
    for (std::int64_t head = 0; head < cache_.size(1); ++head)
      written_[static_cast<std::size_t>((block * cache_.size(1) + head) * block_size + row)] = 1;
  }

  GoldenOutputs output(const TensorSpec& spec) {
    GoldenOutput output = golden_output(spec, cache_);
    output.counts = std::move(written_);
    return {std::move(output)};
  }

 private:
  at::Tensor cache_;
  std::span<const std::int32_t> table_;
  std::int64_t width_;
  std::vector<std::uint8_t> written_;
};

GoldenOutputs fill(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor"); // [1, H, S, D]
  const std::int64_t user =
      call.has("batch_idx_tensor") ? call.integers("batch_idx_tensor")[0] : call.integer("batch_idx");
  Cache cache(call);
  for (std::int64_t position = 0; position < x.size(2); ++position)
    cache.write(user, position, x[0].select(1, position));
  return cache.output(call.output());
}

GoldenOutputs update(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor"); // [1, B, H, D]
  const auto positions = call.integers("update_idxs_tensor");
  Cache cache(call);
  for (std::int64_t user = 0; user < x.size(1); ++user) {
    const std::int64_t position = positions[static_cast<std::size_t>(user)];
    if (position >= 0) cache.write(user, position, x[0][user]);
  }
  return cache.output(call.output());
}

constexpr GoldenEntry kEntries[] = {{"paged_fill_cache", fill}, {"paged_update_cache", update}};

} // namespace

std::span<const GoldenEntry> cache_goldens() {
  return kEntries;
}

} // namespace tessera::reference
