#include <algorithm>

#include "tessera/tensor/mesh.hpp"

namespace tessera::tensor {
namespace {

/// "dim 3: 96..99 + 28 zeros": what a chip holds of one dimension.
std::string range_of(const MeshPart& part, int dim) {
  const std::int64_t inside = part.inside(dim);
  const std::int64_t padding = part.shape[dim] - inside;
  std::string text = fmt::format("dim {}: ", dim);
  if (inside > 0) text += fmt::format("{}..{}", part.first[dim], part.first[dim] + inside - 1);
  if (padding > 0) text += fmt::format("{}{} zeros", inside > 0 ? " + " : "", padding);
  return text;
}

std::string describe_cut(const Shape& whole, const MeshCut& cut, std::string_view over) {
  const auto rank = static_cast<int>(whole.rank());
  return fmt::format(", dim {} over {}", cut.dim < 0 ? cut.dim + rank : cut.dim, over);
}

} // namespace

std::string visualize(const BoardSpec& board, const Shape& whole, const MeshMapper& mapper) {
  const std::vector<MeshPart> parts = mesh_parts(board, whole, mapper);
  std::vector<std::vector<std::string>> cells;
  std::size_t width = 0;
  for (std::size_t chip = 0; chip < parts.size(); ++chip) {
    std::vector<std::string> lines = {fmt::format("chip {}", chip)};
    for (int dim = 0; dim < static_cast<int>(whole.rank()); ++dim) {
      if (parts.back().first[dim] > 0 || parts[chip].shape[dim] != whole[dim])
        lines.push_back(range_of(parts[chip], dim));
    }
    if (lines.size() == 1) lines.emplace_back("all");
    for (const std::string& line : lines) width = std::max(width, line.size());
    cells.push_back(std::move(lines));
  }

  std::string text = fmt::format("{} on {} x {} chips", whole, board.mesh_rows, board.mesh_columns);
  if (mapper.mesh) text += describe_cut(whole, *mapper.mesh, "all chips");
  if (mapper.rows) text += describe_cut(whole, *mapper.rows, "the mesh's rows");
  if (mapper.columns) text += describe_cut(whole, *mapper.columns, "the mesh's columns");
  const auto columns = static_cast<std::size_t>(board.mesh_columns);
  std::string border;
  for (std::size_t column = 0; column < columns; ++column) border += fmt::format("+{:-<{}}", "", width + 2);
  border += "+\n";
  text += "\n" + border;
  for (std::size_t first = 0; first < cells.size(); first += columns) {
    for (std::size_t line = 0; line < cells.front().size(); ++line) {
      for (std::size_t chip = first; chip < first + columns; ++chip)
        text += fmt::format("| {:<{}} ", cells[chip][line], width);
      text += "|\n";
    }
    text += border;
  }
  return text;
}

} // namespace tessera::tensor
