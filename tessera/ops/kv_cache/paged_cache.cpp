#include "tessera/ops/kv_cache/paged_cache.hpp"

#include "tessera/base/error.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/ops/placement.hpp"
#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

/// Where a position lies: extents of the cache and of the page table.
struct Pages {
  std::int64_t heads;
  std::int64_t block_size;
  std::int64_t head_dim;
  std::int64_t blocks_of_user;
  std::int64_t blocks;
  DataType input; ///< format of what is written
  bool exact;     ///< rounded as the card packs it
};

Pages check(std::string_view op, const Tensor& cache, const Tensor& input, const Tensor& page_table) {
  require_tile(op, "cache", cache);
  require_tile(op, "input", input);
  base::require(
      cache.shape().rank() == 4 && cache.shape()[2] % kTileHeight == 0,
      "[{}] cache must have the shape [blocks, Hkv, block_size, D] with a block_size of whole tiles; received {}", op,
      cache.shape());
  if (!page_table.defined() || page_table.dtype() != DataType::INT32 || page_table.layout() != Layout::ROW_MAJOR ||
      page_table.shape().rank() != 2) {
    throw base::InvalidArgument(
        fmt::format("[{}] page_table must be INT32 [B, blocks of a user] in ROW_MAJOR; received {}", op,
                    page_table.defined() ? to_string(page_table.spec()) : "none"));
  }
  return {cache.shape()[1], cache.shape()[2], cache.shape()[3],        page_table.shape()[1],
          cache.shape()[0], input.dtype(),    is_exact(cache.device())};
}

/// Rounds one row (a position of one head) into its place; changes `values`. Positions beyond the page table fail on
/// the queue.
void store_position(const DeviceView& cache, const Pages& pages, std::int64_t chip, const std::int32_t* user_pages,
                    std::int64_t head, std::int64_t position, float* values) {
  base::require(position / pages.block_size < pages.blocks_of_user, "positions must be below {}; received {}",
                pages.blocks_of_user * pages.block_size, position);
  const std::int64_t block = user_pages[position / pages.block_size];
  if (block < 0) return;
  base::require(block < pages.blocks, "page table entries must be below {}; received {}", pages.blocks, block);
  if (pages.exact) round_as_packed(pages.input, cache.dtype(), pages.head_dim, values);
  kernels::kernels().store_row(cache.tiles(chip, block * pages.heads + head), position % pages.block_size, values,
                               pages.head_dim);
}

/// Bytes of the rows written: the card writes whole tiles.
OpWork write_work(const Tensor& cache, const Tensor& input, std::int64_t tiles) {
  const bool in_dram = input.memory_config().buffer_type == BufferType::DRAM;
  return {.dram_read_bytes = in_dram ? input.spec().size_bytes() : 0,
          .dram_write_bytes = tiles * tile_bytes(cache.dtype()),
          .l1_bytes = in_dram ? 0 : input.spec().size_bytes()};
}

std::shared_ptr<const Decomposition> units_of(const Tensor& cache, const Tensor& input) {
  return movement(input.dtype(), cache.dtype(), cache.spec().tile_columns());
}

Pages check_fill(const Tensor& cache, const Tensor& input, const Tensor& page_table) {
  const Pages pages = check("paged_fill_cache", cache, input, page_table);
  require_same_device("paged_fill_cache", {{"cache", cache}, {"input", input}, {"page_table", page_table}});
  const std::int64_t length = input.shape()[2];
  require_shape("paged_fill_cache", "input", input, {1, pages.heads, length, pages.head_dim});
  base::require(length <= pages.blocks_of_user * pages.block_size,
                "[paged_fill_cache] input must have at most {} positions; received {}",
                pages.blocks_of_user * pages.block_size, length);
  return pages;
}

/// Fills the pages of the user user_of(chip).
template <typename UserOf>
runtime::Program fill(const Tensor& cache, const Tensor& input, const Tensor& page_table, const Pages& pages,
                      const UserOf& user_of) {
  constexpr std::int64_t kRowsOfUnit = kTileHeight;
  const std::int64_t length = input.shape()[2];
  const std::int64_t units = div_up(length, kRowsOfUnit);
  const auto body = [cache = cache.view(), in = input.view(), table = page_table.view(), pages, user_of, length,
                     units](const runtime::Unit& unit) {
    const std::int64_t head = unit.index / units;
    const std::int64_t first = unit.index % units * kRowsOfUnit;
    const std::int32_t* user_pages =
        table.elements<std::int32_t>(unit.chip) + user_of(unit.chip) * pages.blocks_of_user;
    float* const values = runtime::thread_scratch(round_up(pages.head_dim, kTileWidth));
    for (std::int64_t position = first; position < std::min(first + kRowsOfUnit, length); ++position) {
      kernels::kernels().load_row(in.tiles(unit.chip, head), position, 0, pages.head_dim, values);
      store_position(cache, pages, unit.chip, user_pages, head, position, values);
    }
  };
  return {.name = "paged_fill_cache", .stages = {{pages.heads * units, body}}};
}

} // namespace

void paged_fill_cache(const Tensor& cache, const Tensor& input, const Tensor& page_table, std::int64_t batch_idx) {
  const Pages pages = check_fill(cache, input, page_table);
  base::require(0 <= batch_idx && batch_idx < page_table.shape()[0],
                "[paged_fill_cache] batch_idx in 0..{} is required; received {}", page_table.shape()[0] - 1, batch_idx);
  launch(cache.device(), fill(cache, input, page_table, pages, [batch_idx](std::int64_t) { return batch_idx; }),
         {{"cache_tensor", cache}, {"input_tensor", input}, {"page_table", page_table}}, {{"output", cache}}, [&] {
           return OpDetails{
               {{"batch_idx", batch_idx}}, write_work(cache, input, input.spec().num_pages()), units_of(cache, input)};
         });
}

void paged_fill_cache(const Tensor& cache, const Tensor& input, const Tensor& page_table, const Tensor& batch_idx) {
  const Pages pages = check_fill(cache, input, page_table);
  require_integers("paged_fill_cache", "batch_idx", batch_idx, {1});
  require_same_device("paged_fill_cache", {{"cache", cache}, {"batch_idx", batch_idx}});
  const auto user_of = [view = batch_idx.view(), users = page_table.shape()[0]](std::int64_t chip) {
    const std::int64_t user = *view.elements<std::int32_t>(chip);
    base::require<base::DeviceError>(0 <= user && user < users, "batch_idx must be in 0..{}; received {}", users - 1,
                                     user);
    return user;
  };
  launch(
      cache.device(), fill(cache, input, page_table, pages, user_of),
      {{"cache_tensor", cache}, {"input_tensor", input}, {"page_table", page_table}, {"batch_idx_tensor", batch_idx}},
      {{"output", cache}}, [&] {
        return OpDetails{.work = write_work(cache, input, input.spec().num_pages()),
                         .decomposition = units_of(cache, input)};
      });
}

void paged_update_cache(const Tensor& cache, const Tensor& input, const Tensor& update_idxs, const Tensor& page_table) {
  const Pages pages = check("paged_update_cache", cache, input, page_table);
  require_same_device("paged_update_cache",
                      {{"cache", cache}, {"input", input}, {"update_idxs", update_idxs}, {"page_table", page_table}});
  const std::int64_t users = input.shape()[1];
  require_shape("paged_update_cache", "input", input, {1, users, pages.heads, pages.head_dim});
  require_integers("paged_update_cache", "update_idxs", update_idxs, {users});
  base::require(users <= page_table.shape()[0],
                "[paged_update_cache] page_table must have a row for each of {} users; received {}", users,
                page_table.shape());
  require_height_sharded("paged_update_cache", "input", input);
  runtime::MeshDevice& device = cache.device();
  const auto body = [cache = cache.view(), in = input.view(), idxs = update_idxs.view(), table = page_table.view(),
                     pages](const runtime::Unit& unit) {
    const std::int64_t user = unit.index;
    const std::int32_t position = idxs.elements<std::int32_t>(unit.chip)[user];
    if (position < 0) return;
    const std::int32_t* user_pages = table.elements<std::int32_t>(unit.chip) + user * pages.blocks_of_user;
    float* const values = runtime::thread_scratch(round_up(pages.head_dim, kTileWidth));
    for (std::int64_t head = 0; head < pages.heads; ++head) {
      kernels::kernels().load_row(in.tiles(unit.chip, user), head, 0, pages.head_dim, values);
      store_position(cache, pages, unit.chip, user_pages, head, position, values);
    }
  };
  launch(device, {.name = "paged_update_cache", .stages = {{users, body}}},
         {{"cache_tensor", cache},
          {"input_tensor", input},
          {"update_idxs_tensor", update_idxs},
          {"page_table", page_table}},
         {{"output", cache}}, [&] {
           return OpDetails{.work = write_work(cache, input, users * pages.heads * cache.spec().tile_columns()),
                            .decomposition = units_of(cache, input)};
         });
}

} // namespace tessera::ops
