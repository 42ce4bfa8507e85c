#include "tessera/bringup/report_page/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/run_file.hpp"

namespace tessera::bringup::report_page {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

/// Bytes of the UTF-8 character that `text` begins with; 0 when it begins with none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) >= 0xA0;
  const bool beyond = first == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

std::string css_attribute(std::string_view css) {
  return css.empty() ? "" : fmt::format(" class=\"{}\"", css);
}

std::string csv_field(const nlohmann::json& value) {
  if (value.is_null()) return "";
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

/// The groups' headings, when there are any, over the columns' own.
std::string heading(const Table& table) {
  std::string groups;
  bool grouped = false;
  for (std::size_t i = 0; i < table.columns.size();) {
    std::size_t last = i + 1;
    while (last < table.columns.size() && table.columns[last].group == table.columns[i].group) ++last;
    groups += fmt::format("<th colspan=\"{}\" scope=\"colgroup\"{}>{}</th>", last - i,
                          table.columns[i].group.empty() ? "" : " class=\"group\"", escaped(table.columns[i].group));
    grouped = grouped || !table.columns[i].group.empty();
    i = last;
  }
  std::string titles;
  for (const Column& column : table.columns)
    titles +=
        fmt::format("<th scope=\"col\"{}>{}</th>", css_attribute(column.number ? "number" : ""), escaped(column.title));
  return fmt::format("<thead>{}<tr>{}</tr></thead>", grouped ? "<tr>" + groups + "</tr>" : "", titles);
}

std::string row_html(const Table& table, const std::vector<Cell>& row) {
  std::string html = "<tr>";
  for (std::size_t i = 0; i < row.size(); ++i) {
    std::string css = table.columns[i].number ? "number" : "";
    if (!row[i].css.empty()) css += (css.empty() ? "" : " ") + row[i].css;
    html += fmt::format("<td{}>{}</td>", css_attribute(css), row[i].html);
  }
  return html + "</tr>\n";
}

} // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character(text);
    const char c = text[0];
    if (length == 0 || (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
      out += kReplacement;
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string element(std::string_view name, std::string_view css, std::string_view content) {
  return fmt::format("<{0}{1}>{2}</{0}>", name, css_attribute(css), content);
}

Cell Cell::text(const std::string& text, std::string css) {
  return {text, escaped(text), std::move(css)};
}

Cell Cell::number(double value, std::string shown, std::string css) {
  return {run_file::number(value), escaped(shown.empty() ? short_number(value) : shown), std::move(css)};
}

Cell Cell::integer(std::int64_t value) {
  return {value, fmt::format("{}", value), {}};
}

std::string links(const Table& table, const std::string& note) {
  return fmt::format(
      "<p class=\"files\">{2}{0}: <a href=\"tables/{1}.csv\">CSV</a> <a href=\"tables/{1}.json\">JSON</a></p>\n",
      escaped(table.caption), escaped(table.name), escaped(note));
}

std::string to_html(const Table& table, std::size_t rows) {
  const std::size_t shown = rows == 0 ? table.rows.size() : std::min(rows, table.rows.size());
  std::string body;
  for (std::size_t i = 0; i < shown; ++i) body += row_html(table, table.rows[i]);
  const std::string more =
      shown < table.rows.size() ? fmt::format("The first {} of {} rows. ", shown, table.rows.size()) : "";
  return fmt::format(
      "<div class=\"wide\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"{0}\"><table>\n{1}<tbody>\n{2}</tbody></table></div>\n"
      "{3}",
      escaped(table.caption), heading(table), body, links(table, more));
}

std::string to_csv(const Table& table) {
  std::string csv;
  for (std::size_t i = 0; i < table.columns.size(); ++i) csv += (i == 0 ? "" : ",") + csv_field(table.columns[i].key);
  csv += "\r\n";
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) csv += (i == 0 ? "" : ",") + csv_field(row[i].value);
    csv += "\r\n";
  }
  return csv;
}

nlohmann::json to_json(const Table& table) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& row : table.rows) {
    nlohmann::json out = nlohmann::json::object();
    for (std::size_t i = 0; i < row.size(); ++i) out[table.columns[i].key] = row[i].value;
    rows.push_back(std::move(out));
  }
  return rows;
}

std::string collapsible(std::string_view summary, std::string_view content, bool open, std::string_view css) {
  return fmt::format("<details{}{}><summary>{}</summary>\n{}</details>\n", css_attribute(css), open ? " open" : "",
                     summary, content);
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  const double size = std::abs(value);
  if (value == std::floor(value) && size < 1e6) return fmt::format("{}", value);
  if (size >= 1000.0 && size < 1e6) return fmt::format("{:.0f}", value);
  if (size >= 0.001 && size < 1000.0) {
    const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(size))), 0, 6);
    return fmt::format("{:.{}f}", value, decimals);
  }
  return fmt::format("{:.2e}", value);
}

std::string bytes_text(double bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (std::abs(bytes) >= 1000.0 && unit + 1 < std::size(kUnits)) {
    bytes /= 1000.0;
    ++unit;
  }
  return fmt::format("{} {}", short_number(bytes), kUnits[unit]);
}

} // namespace tessera::bringup::report_page
