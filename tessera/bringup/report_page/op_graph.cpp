// The section of the op graph: modules that fold, down to ops with shapes and formats.

#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/bringup/report_page/section.hpp"

namespace tessera::bringup::report_page {
namespace {

/// Ops of a scope that follow each other, and the scopes inside it, in the order in which they ran.
struct Node {
  std::string name; // the last part of the scope's path, "3" with its "layers": "layers.3"
  std::vector<const OpDetail*> ops;
  std::vector<Node> children;

  std::size_t count() const {
    std::size_t sum = ops.size();
    for (const Node& child : children) sum += child.count();
    return sum;
  }
  double predicted_us() const {
    double sum = 0.0;
    for (const OpDetail* op : ops) sum += op->predicted_us.value_or(0.0);
    for (const Node& child : children) sum += child.predicted_us();
    return sum;
  }
};

/// "layers.3.attention" -> {"layers.3", "attention"}: a number belongs to the word before it.
std::vector<std::string> path_of(const std::string& scope) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < scope.size();) {
    const std::size_t dot = std::min(scope.find('.', at), scope.size());
    const std::string part = scope.substr(at, dot - at);
    const bool number = !part.empty() && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    if (number && !parts.empty())
      parts.back() += "." + part;
    else
      parts.push_back(part);
    at = dot + 1;
  }
  return parts;
}

Node tree_of(const StepDetail& step) {
  Node root{.name = step.name, .ops = {}, .children = {}};
  for (const OpDetail& op : step.ops) {
    Node* node = &root;
    for (const std::string& part : path_of(op.scope)) {
      const auto known = std::ranges::find(node->children, part, &Node::name);
      if (known != node->children.end()) {
        node = &*known;
      } else {
        node = &node->children.emplace_back(Node{.name = part, .ops = {}, .children = {}});
      }
    }
    node->ops.push_back(&op);
  }
  return root;
}

bool same_operands(const std::vector<OperandDetail>& a, const std::vector<OperandDetail>& b) {
  return std::ranges::equal(a, b, [](const OperandDetail& x, const OperandDetail& y) {
    return x.name == y.name && x.shape == y.shape && x.dtype == y.dtype && x.memory == y.memory;
  });
}

/// Whether two modules do the same with other weights.
bool alike(const Node& a, const Node& b) {
  return std::ranges::equal(a.ops, b.ops,
                            [](const OpDetail* x, const OpDetail* y) {
                              return x->name == y->name && x->fidelity == y->fidelity &&
                                     same_operands(x->inputs, y->inputs) && same_operands(x->outputs, y->outputs);
                            }) &&
         std::ranges::equal(a.children, b.children,
                            [](const Node& x, const Node& y) { return x.name == y.name && alike(x, y); });
}

/// What differs between scopes that are alike: "layers.0" and "layers.31" are of one stem.
std::string stem_of(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == name.npos ? "" : name.substr(0, dot);
}

std::string operand_html(const OperandDetail& operand) {
  return fmt::format("<div>{} <code>{}</code> {} <small>{}</small></div>", escaped(operand.name),
                     escaped(operand.shape), escaped(operand.dtype), escaped(operand.memory));
}

std::string ops_html(const std::vector<const OpDetail*>& ops) {
  if (ops.empty()) return "";
  std::string rows;
  for (const OpDetail* op : ops) {
    std::string inputs;
    std::string outputs;
    for (const OperandDetail& operand : op->inputs) inputs += operand_html(operand);
    for (const OperandDetail& operand : op->outputs) outputs += operand_html(operand);
    rows += fmt::format(
        "<tr><td class=\"name\">{}{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td></tr>\n", escaped(op->name),
        op->fidelity.empty() ? "" : "<small class=\"bound\">" + escaped(op->fidelity) + "</small>", inputs, outputs,
        op->predicted_us
            ? fmt::format("{} µs<small class=\"bound\">{}</small>", short_number(*op->predicted_us), escaped(op->bound))
            : "");
  }
  return "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"ops\"><table "
         "class=\"ops\"><thead><tr><th>op</th><th>inputs</th><th>outputs</th>"
         "<th class=\"number\">predicted</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string node_html(const Node& node, const std::string& title, std::size_t times) {
  std::string content = ops_html(node.ops);
  for (std::size_t i = 0; i < node.children.size();) {
    std::size_t last = i;
    const std::string stem = stem_of(node.children[i].name);
    while (last + 1 < node.children.size() && !stem.empty() && stem_of(node.children[last + 1].name) == stem &&
           alike(node.children[i], node.children[last + 1]))
      ++last;
    const std::string name =
        last == i ? node.children[i].name : fmt::format("{} to {}", node.children[i].name, node.children[last].name);
    content += node_html(node.children[i], name, last - i + 1);
    i = last + 1;
  }
  const double predicted_us = node.predicted_us() * static_cast<double>(times);
  const std::string summary = fmt::format(
      "<span class=\"stage-name\">{}</span> <small>{} {}{}{}</small>", escaped(title), node.count(),
      node.count() == 1 ? "op" : "ops", times > 1 ? fmt::format(" in each of {} that are alike", times) : "",
      predicted_us > 0.0 ? fmt::format(", {} µs predicted{}", short_number(predicted_us), times > 1 ? " together" : "")
                         : "");
  return collapsible(summary, content, false, "node");
}

std::string operands_text(const std::vector<OperandDetail>& operands) {
  std::string text;
  for (const OperandDetail& operand : operands)
    text += fmt::format("{}{}: {} {} {}", text.empty() ? "" : "; ", operand.name, operand.dtype, operand.shape,
                        operand.memory);
  return text;
}

Table table_of(const RecordedSteps& recorded) {
  Table table{.name = "ops",
              .caption = "All ops of the steps",
              .columns = {{"step", "step"},
                          {"number", "number", true},
                          {"module", "module"},
                          {"op", "op"},
                          {"inputs", "inputs"},
                          {"outputs", "outputs"},
                          {"fidelity", "fidelity"},
                          {"flops", "flops", true},
                          {"dram_bytes", "DRAM bytes", true},
                          {"predicted_us", "predicted, µs", true},
                          {"bound", "bound by"}},
              .rows = {}};
  for (const StepDetail& step : recorded.steps) {
    for (std::size_t i = 0; i < step.ops.size(); ++i) {
      const OpDetail& op = step.ops[i];
      table.rows.push_back(
          {Cell::text(step.name), Cell::integer(static_cast<std::int64_t>(i)), Cell::text(op.scope),
           Cell::text(op.name), Cell::text(operands_text(op.inputs)), Cell::text(operands_text(op.outputs)),
           Cell::text(op.fidelity), Cell::integer(op.flops), Cell::integer(op.dram_bytes),
           op.predicted_us ? Cell::number(*op.predicted_us) : Cell{nullptr, "", ""}, Cell::text(op.bound)});
    }
  }
  return table;
}

} // namespace

Section op_graph_section(const RunFolder& run) {
  Section section{.id = "ops",
                  .title = "Op graph",
                  .lead =
                      "What the model's own code runs on a chip, by module: ops in order, with the shapes, formats and "
                      "memories of their "
                      "operands. Modules that do the same with other weights stand together."};
  fill_from(section, run.ops, [&] {
    const RecordedSteps recorded = recorded_steps_from_json(run.ops.content);
    section.body += "<figure id=\"figure-ops\">\n";
    for (const StepDetail& step : recorded.steps) section.body += node_html(tree_of(step), step.name, 1);
    section.body += "</figure>\n";
    Table table = table_of(recorded);
    section.body += links(table);
    section.tables.push_back(std::move(table));
  });
  return section;
}

} // namespace tessera::bringup::report_page
