#include "tessera/bringup/ops/op_capture.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/tensor/operand_rows.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera::bringup {
namespace {

using reference::OperandValues;

OperandValues read(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip) {
  OperandValues values{.shape = operand.spec.shape};
  if (is_integer(operand.spec.dtype))
    values.integers = tensor::read_operand_integers(device, operand, chip);
  else
    values.data = tensor::read_operand(device, operand, chip).data;
  return values;
}

/// Parts first, first + 1, ... of dimension 0 (or of a table's rows), one after another.
OperandValues read_parts(const runtime::MeshDevice& device, const OperandRecord& operand, std::int64_t chip, int dim,
                         std::span<const std::int64_t> parts) {
  const Shape& shape = operand.spec.shape;
  std::int64_t rows_of_part = 1;
  for (int i = dim + 1; i < static_cast<int>(shape.rank()) - 1; ++i) rows_of_part *= shape[i];
  std::vector<std::int64_t> rows;
  for (const std::int64_t part : parts) {
    for (std::int64_t row = 0; row < rows_of_part; ++row) rows.push_back(part * rows_of_part + row);
  }
  return {.shape = shape.with(dim, static_cast<std::int64_t>(parts.size())),
          .data = tensor::read_operand_rows(device, operand, chip, rows),
          .integers = {}};
}

std::size_t number_of(const std::vector<OperandRecord>& operands, std::string_view name) {
  const auto found = std::find_if(operands.begin(), operands.end(),
                                  [name](const OperandRecord& operand) { return operand.name == name; });
  base::require(found != operands.end(), "[compare-ops] the record must have the operand {}; it has none", name);
  return static_cast<std::size_t>(found - operands.begin());
}

std::int64_t attribute(const OpRecord& record, std::string_view name) {
  for (const auto& [key, value] : record.attributes) {
    if (key == name && std::holds_alternative<std::int64_t>(value)) return std::get<std::int64_t>(value);
  }
  return 0;
}

/// Where in the inputs a paged op names its cache, its page table and its positions.
struct PagedOp {
  std::vector<std::string_view> caches;
  std::string_view table;

  explicit PagedOp(std::string_view op) {
    if (op == "paged_fill_cache" || op == "paged_update_cache") {
      caches = {"cache_tensor"};
      table = "page_table";
    } else if (op == "paged_scaled_dot_product_attention_decode") {
      caches = {"input_tensor_k", "input_tensor_v"};
      table = "page_table_tensor";
    }
  }
  bool is_paged() const { return !caches.empty(); }
};

/// Pages first <= p < last of a user.
struct Pages {
  std::int64_t user;
  std::int64_t first;
  std::int64_t last;
};

/// The pages that an op reads or writes. `op` holds its small inputs.
std::vector<Pages> pages_of(const OpCase& op, std::int64_t block_size) {
  const OpRecord& record = op.record;
  const reference::ChipOperands& inputs = op.inputs.front();
  const auto integers = [&](std::string_view name) -> const std::vector<std::int32_t>& {
    return inputs[number_of(record.inputs, name)].integers;
  };
  std::vector<Pages> pages;
  if (record.name == "paged_fill_cache") {
    const bool named = std::any_of(record.inputs.begin(), record.inputs.end(),
                                   [](const OperandRecord& input) { return input.name == "batch_idx_tensor"; });
    const std::int64_t length = record.inputs[number_of(record.inputs, "input_tensor")].spec.shape[2];
    pages.push_back(
        {named ? integers("batch_idx_tensor").at(0) : attribute(record, "batch_idx"), 0, div_up(length, block_size)});
    return pages;
  }
  const bool updates = record.name == "paged_update_cache";
  const std::vector<std::int32_t>& positions = integers(updates ? "update_idxs_tensor" : "cur_pos_tensor");
  const std::int64_t window = attribute(record, "sliding_window_size");
  for (std::size_t user = 0; user < positions.size(); ++user) {
    const std::int64_t position = positions[user];
    if (position < 0) continue;
    const std::int64_t first = updates ? position : window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0;
    pages.push_back({static_cast<std::int64_t>(user), first / block_size, position / block_size + 1});
  }
  return pages;
}

} // namespace

void OpCapture::read_inputs(const runtime::MeshDevice& device, const OpRecord& record, std::int64_t chip, OpCase& op,
                            Touched& touched) {
  const PagedOp paged(record.name);
  reference::ChipOperands& inputs = op.inputs.emplace_back();
  const auto is_large = [&](const OperandRecord& input) {
    return (record.name == "embedding" && input.name == "weight") ||
           std::find(paged.caches.begin(), paged.caches.end(), input.name) != paged.caches.end();
  };
  for (const OperandRecord& input : record.inputs)
    inputs.push_back(is_large(input) ? OperandValues{} : read(device, input, chip));

  const auto read_large = [&](std::string_view name, int dim, std::span<const std::int64_t> parts) {
    const std::size_t number = number_of(record.inputs, name);
    inputs[number] = read_parts(device, record.inputs[number], chip, dim, parts);
    op.record.inputs[number].spec.shape = inputs[number].shape;
  };
  if (record.name == "embedding") {
    std::vector<std::int32_t>& ids = inputs[number_of(record.inputs, "input_tensor")].integers;
    const Shape& table = record.inputs[number_of(record.inputs, "weight")].spec.shape;
    std::vector<std::int64_t> rows;
    for (const std::int32_t id : ids) {
      if (0 <= id && id < table[-2]) rows.push_back(id);
    }
    rows.push_back(0); // where all users are idle
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    for (std::int32_t& id : ids) {
      if (id >= 0) id = static_cast<std::int32_t>(std::lower_bound(rows.begin(), rows.end(), id) - rows.begin());
    }
    read_large("weight", static_cast<int>(table.rank()) - 2, rows);
  }
  if (!paged.is_paged()) return;
  const Shape& cache = record.inputs[number_of(record.inputs, paged.caches.front())].spec.shape;
  OperandValues& table = inputs[number_of(record.inputs, paged.table)];
  std::vector<std::int32_t> renumbered(table.integers.size(), 0);
  touched.blocks = {};
  const std::vector<Pages> used = pages_of(op, cache[2]);
  const auto for_each_entry = [&](const auto& body) {
    for (const Pages& pages : used) {
      for (std::int64_t page = pages.first; page < std::min(pages.last, table.shape[1]); ++page)
        body(static_cast<std::size_t>(pages.user * table.shape[1] + page));
    }
  };
  for_each_entry([&](std::size_t entry) {
    const std::int32_t block = table.integers[entry];
    if (0 <= block && block < cache[0]) touched.blocks.push_back(block);
  });
  if (touched.blocks.empty()) touched.blocks.push_back(0);
  std::sort(touched.blocks.begin(), touched.blocks.end());
  touched.blocks.erase(std::unique(touched.blocks.begin(), touched.blocks.end()), touched.blocks.end());
  for_each_entry([&](std::size_t entry) {
    const std::int32_t block = table.integers[entry];
    const auto place = std::lower_bound(touched.blocks.begin(), touched.blocks.end(), block) - touched.blocks.begin();
    renumbered[entry] = block < 0 ? block : static_cast<std::int32_t>(place);
  });
  table.integers = std::move(renumbered);
  for (const std::string_view name : paged.caches) read_large(name, 0, touched.blocks);
}

OpCapture::OpCapture(const runtime::MeshDevice& device, const OpRecord& record) {
  OpRecord own = record;
  own.decomposition = nullptr;
  const auto begin_case = [&](std::int64_t rows, std::int64_t columns, std::int64_t chip) -> OpCase& {
    return cases_.emplace_back(OpCase{.record = own,
                                      .board = device.board().name,
                                      .mesh_rows = rows,
                                      .mesh_columns = columns,
                                      .first_chip = chip,
                                      .numerics = device.numerics(),
                                      .inputs = {},
                                      .outputs = {}});
  };
  const bool together = reference::is_collective(record.name);
  touched_.resize(together ? 1 : static_cast<std::size_t>(device.chips()));
  if (together) begin_case(device.board().mesh_rows, device.board().mesh_columns, 0);
  for (std::int64_t chip = 0; chip < device.chips(); ++chip) {
    OpCase& op = together ? cases_.front() : begin_case(1, 1, chip);
    read_inputs(device, record, chip, op, touched_[together ? 0 : static_cast<std::size_t>(chip)]);
  }
}

std::vector<OpCase> OpCapture::finish(const runtime::MeshDevice& device, const OpRecord& record) {
  const bool writes_cache = record.name == "paged_fill_cache" || record.name == "paged_update_cache";
  for (std::size_t number = 0; number < cases_.size(); ++number) {
    OpCase& op = cases_[number];
    for (std::int64_t chip = op.first_chip; chip < op.first_chip + op.chips(); ++chip) {
      reference::ChipOperands& outputs = op.outputs.emplace_back();
      for (const OperandRecord& output : record.outputs)
        outputs.push_back(writes_cache ? read_parts(device, output, chip, 0, touched_[number].blocks)
                                       : read(device, output, chip));
      if (writes_cache) op.record.outputs.front().spec.shape = outputs.front().shape;
    }
  }
  return std::move(cases_);
}

} // namespace tessera::bringup
