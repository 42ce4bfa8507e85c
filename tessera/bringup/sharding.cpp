#include "tessera/bringup/sharding.hpp"

#include <algorithm>

#include "tessera/bringup/run_file.hpp"
#include "tessera/nn/tensor_parallel.hpp"

namespace tessera::bringup {

using nlohmann::json;

ShardingForm::Place ShardingForm::place(std::int64_t row, std::int64_t column, std::int64_t board_columns) const {
  const std::int64_t copy = row / rows * (board_columns / columns) + column / columns;
  return {copy < copies ? copy : -1, row % rows * columns + column % columns};
}

ShardingForm sharding_of(const BoardSpec& board, const models::Parallelism& parallelism,
                         const nn::DecoderConfig& config) {
  ShardingForm form{.name = models::to_string(parallelism),
                    .copies = parallelism.dp,
                    .rows = parallelism.rows,
                    .columns = parallelism.columns};
  if (parallelism.tp() == 1) return form;
  const nn::TensorParallel cut(parallelism.submesh_of(board), parallelism.scheme, config);
  for (std::int64_t chip = 0; chip < parallelism.tp(); ++chip) {
    ChipPart& part = form.chips.emplace_back();
    const auto add = [&](const char* what, nn::TensorParallel::Range range, std::int64_t extent) {
      // Shards are whole tiles; the last ones may reach beyond the end.
      const std::int64_t first = std::min(range.first, extent);
      part.parts.push_back({what, first, std::min(range.count, extent - first), extent});
    };
    add("query heads", cut.heads(chip, config.heads), config.heads);
    add("KV heads", cut.heads(chip, config.kv_heads), config.kv_heads);
    add("MLP width", cut.shared(chip, config.intermediate_size), config.intermediate_size);
    add("vocabulary", cut.shared(chip, config.vocab_size), config.vocab_size);
    add("residual stream", cut.residual(chip), config.hidden_size);
  }
  return form;
}

void write_sharding(const Sharding& sharding, const std::string& key, const std::filesystem::path& folder) {
  if (folder.empty()) return;
  json forms = json::array();
  for (const ShardingForm& form : sharding.forms) {
    json chips = json::array();
    for (const ChipPart& chip : form.chips) {
      json parts = json::array();
      for (const ChipPart::Part& part : chip.parts)
        parts.push_back({{"what", part.what}, {"first", part.first}, {"count", part.count}, {"extent", part.extent}});
      chips.push_back(std::move(parts));
    }
    forms.push_back({{"name", form.name},
                     {"copies", form.copies},
                     {"rows", form.rows},
                     {"columns", form.columns},
                     {"chips", std::move(chips)}});
  }
  run_file::write(
      folder / "sharding.json", key,
      {{"board", sharding.board}, {"rows", sharding.rows}, {"columns", sharding.columns}, {"forms", std::move(forms)}});
}

Sharding sharding_from_json(const json& in) {
  return run_file::converted("sharding.json", [&] {
    Sharding sharding{.board = in.at("board"), .rows = in.at("rows"), .columns = in.at("columns"), .forms = {}};
    for (const json& one : in.at("forms")) {
      ShardingForm& form = sharding.forms.emplace_back(ShardingForm{
          .name = one.at("name"), .copies = one.at("copies"), .rows = one.at("rows"), .columns = one.at("columns")});
      base::require(form.rows >= 1 && form.columns >= 1 && form.columns <= sharding.columns,
                    "a copy must lie on the board; received {} x {} chips", form.rows, form.columns);
      for (const json& chip : one.at("chips")) {
        ChipPart& part = form.chips.emplace_back();
        for (const json& p : chip) part.parts.push_back({p.at("what"), p.at("first"), p.at("count"), p.at("extent")});
      }
    }
    return sharding;
  });
}

} // namespace tessera::bringup
