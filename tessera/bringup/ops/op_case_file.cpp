#include <fmt/format.h>

#include <deque>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/bringup/ops/op_case.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::bringup {
namespace {

using checkpoint::OutputTensor;
using checkpoint::StorageType;
using reference::OperandValues;

constexpr const char* kKey = "tessera_op";
constexpr std::int64_t kMostChips = 4096;

nlohmann::json to_json(const std::vector<OperandRecord>& operands) {
  nlohmann::json list = nlohmann::json::array();
  for (const OperandRecord& operand : operands) {
    list.push_back({{"name", operand.name},
                    {"shape", operand.spec.shape.extents()},
                    {"dtype", to_string(operand.spec.dtype)},
                    {"layout", to_string(operand.spec.layout)},
                    {"buffer_type", to_string(operand.spec.memory_config.buffer_type)},
                    {"memory_layout", to_string(operand.spec.memory_config.memory_layout)}});
  }
  return list;
}

/// Without the shards: they follow from the shape.
MemoryConfig place_of(const nlohmann::json& json) {
  MemoryConfig place;
  if (json.at("buffer_type").get<std::string>() == to_string(BufferType::L1)) place.buffer_type = BufferType::L1;
  const auto layout = json.at("memory_layout").get<std::string>();
  for (const auto known :
       {TensorMemoryLayout::HEIGHT_SHARDED, TensorMemoryLayout::WIDTH_SHARDED, TensorMemoryLayout::BLOCK_SHARDED}) {
    if (layout == to_string(known)) place.memory_layout = known;
  }
  return place;
}

std::vector<OperandRecord> operands_of(const nlohmann::json& list) {
  std::vector<OperandRecord> operands;
  for (const nlohmann::json& json : list) {
    const auto extents = json.at("shape").get<std::vector<std::int64_t>>();
    const auto dtype = parse_data_type(json.at("dtype").get<std::string>());
    const bool tiles = json.at("layout").get<std::string>() == to_string(Layout::TILE);
    operands.push_back({.name = json.at("name").get<std::string>(),
                        .spec = {.shape = Shape(extents),
                                 .dtype = dtype,
                                 .layout = tiles ? Layout::TILE : Layout::ROW_MAJOR,
                                 .memory_config = place_of(json)}});
  }
  return operands;
}

nlohmann::json to_json(const OpCase& op) {
  nlohmann::json attributes = nlohmann::json::object();
  for (const auto& [name, value] : op.record.attributes)
    attributes[name] = std::visit([](const auto& v) { return nlohmann::json(v); }, value);
  return {{"name", op.record.name},
          {"scope", op.record.scope},
          {"inputs", to_json(op.record.inputs)},
          {"outputs", to_json(op.record.outputs)},
          {"attributes", std::move(attributes)},
          {"math_fidelity", to_string(op.record.work.fidelity)},
          {"board", op.board},
          {"mesh", {op.mesh_rows, op.mesh_columns}},
          {"first_chip", op.first_chip},
          {"numerics", op.numerics == runtime::Numerics::EXACT ? "exact" : "native"}};
}

AttributeValue attribute_of(const nlohmann::json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  return json.get<std::string>();
}

/// Everything but the operands' values.
OpCase case_of(const nlohmann::json& json) {
  OpCase op;
  op.record.name = json.at("name").get<std::string>();
  op.record.scope = json.at("scope").get<std::string>();
  op.record.inputs = operands_of(json.at("inputs"));
  op.record.outputs = operands_of(json.at("outputs"));
  for (const auto& [name, value] : json.at("attributes").items())
    op.record.attributes.emplace_back(name, attribute_of(value));
  op.record.work.fidelity = parse_math_fidelity(json.at("math_fidelity").get<std::string>());
  op.board = json.at("board").get<std::string>();
  op.mesh_rows = json.at("mesh").at(0).get<std::int64_t>();
  op.mesh_columns = json.at("mesh").at(1).get<std::int64_t>();
  op.first_chip = json.at("first_chip").get<std::int64_t>();
  const bool mesh_fits = 1 <= op.mesh_rows && op.mesh_rows <= kMostChips && 1 <= op.mesh_columns &&
                         op.mesh_columns <= kMostChips && op.chips() <= kMostChips && op.first_chip >= 0;
  base::require<base::IoError>(mesh_fits, "a mesh of 1 to {} chips is required", kMostChips);
  op.numerics = json.at("numerics") == "exact" ? runtime::Numerics::EXACT : runtime::Numerics::NATIVE;
  return op;
}

std::string tensor_name(std::int64_t chip, std::string_view kind, std::size_t number, std::string_view operand) {
  return fmt::format("chip{}.{}{}.{}", chip, kind, number, operand);
}

OutputTensor tensor_of(std::string name, const OperandValues& values) {
  const auto extents = values.shape.extents();
  OutputTensor tensor{.name = std::move(name), .dtype = StorageType::F32, .shape = {extents.begin(), extents.end()}};
  tensor.data = std::as_bytes(std::span(values.data));
  if (values.integers.empty()) return tensor;
  tensor.dtype = StorageType::I32;
  tensor.data = std::as_bytes(std::span(values.integers));
  return tensor;
}

OperandValues values_of(const checkpoint::SafeTensors& file, const std::string& name, const OperandRecord& operand) {
  const checkpoint::TensorView& tensor = file.at(name);
  const auto extents = operand.spec.shape.extents();
  const StorageType expected = is_integer(operand.spec.dtype) ? StorageType::I32 : StorageType::F32;
  base::require<base::IoError>(
      tensor.dtype == expected && std::equal(tensor.shape.begin(), tensor.shape.end(), extents.begin(), extents.end()),
      "{} must be {} {}; it is {} {}", name, checkpoint::to_string(expected), operand.spec.shape,
      checkpoint::to_string(tensor.dtype), checkpoint::shape_to_string(tensor.shape));
  OperandValues values{.shape = operand.spec.shape};
  const auto copy = [&](auto& list) {
    list.resize(static_cast<std::size_t>(operand.spec.shape.volume()));
    std::copy(tensor.data.begin(), tensor.data.end(), reinterpret_cast<std::byte*>(list.data()));
  };
  if (expected == StorageType::I32)
    copy(values.integers);
  else
    copy(values.data);
  return values;
}

} // namespace

void save_case(const std::filesystem::path& path, const OpCase& op) {
  std::vector<OutputTensor> tensors;
  std::deque<std::vector<reference::GoldenOutput>> expected; // whose values the tensors show
  for (std::int64_t chip = 0; chip < op.chips(); ++chip) {
    const auto& inputs = op.inputs.at(static_cast<std::size_t>(chip));
    const auto& outputs = op.outputs.at(static_cast<std::size_t>(chip));
    for (std::size_t i = 0; i < inputs.size(); ++i)
      tensors.push_back(tensor_of(tensor_name(chip, "input", i, op.record.inputs[i].name), inputs[i]));
    for (std::size_t i = 0; i < outputs.size(); ++i)
      tensors.push_back(tensor_of(tensor_name(chip, "output", i, op.record.outputs[i].name), outputs[i]));
    expected.push_back(reference::golden({.record = op.record,
                                          .mesh_rows = op.mesh_rows,
                                          .mesh_columns = op.mesh_columns,
                                          .chip = chip,
                                          .chips = op.inputs}));
    for (std::size_t i = 0; i < expected.back().size(); ++i)
      tensors.push_back(
          tensor_of(tensor_name(chip, "expected", i, op.record.outputs.at(i).name), expected.back()[i].values));
  }
  checkpoint::write_safetensors(path, tensors, {{kKey, to_json(op).dump()}});
}

OpCase load_case(const std::filesystem::path& path) {
  const auto file = checkpoint::SafeTensors::open(path);
  const auto metadata = file.metadata().find(kKey);
  base::require<base::IoError>(metadata != file.metadata().end(),
                               "[replay-op] {} must be a file that --compare-ops wrote; it has no {}", path.string(),
                               kKey);
  try {
    OpCase op = case_of(nlohmann::json::parse(metadata->second));
    for (std::int64_t chip = 0; chip < op.chips(); ++chip) {
      const auto read = [&](std::string_view kind, const std::vector<OperandRecord>& operands) {
        reference::ChipOperands values;
        for (std::size_t i = 0; i < operands.size(); ++i)
          values.push_back(values_of(file, tensor_name(chip, kind, i, operands[i].name), operands[i]));
        return values;
      };
      op.inputs.push_back(read("input", op.record.inputs));
      op.outputs.push_back(read("output", op.record.outputs));
    }
    return op;
  } catch (const nlohmann::json::exception& error) {
    throw base::IoError(
        fmt::format("[replay-op] {} must hold the record of an op; {}; write it again with --compare-ops",
                    path.string(), error.what()));
  } catch (const base::Error& error) {
    throw base::IoError(fmt::format("[replay-op] {} must hold an op's operands; {}; write it again with --compare-ops",
                                    path.string(), error.what()));
  }
}

} // namespace tessera::bringup
