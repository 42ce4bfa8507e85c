#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::bringup::report_page {

/// Text fit for an element's content and for an attribute in double quotes. Control characters and bytes that are no
/// UTF-8 become U+FFFD.
std::string escaped(std::string_view text);

/// <name class="css">content</name>; without a class when `css` is empty. `content` is HTML.
std::string element(std::string_view name, std::string_view css, std::string_view content);

struct Column {
  std::string key;   ///< in CSV and JSON
  std::string title; ///< on the page
  bool number = false;
  std::string group{}; ///< a heading over neighbours that have the same
};

struct Cell {
  nlohmann::json value; ///< for CSV and JSON; null: nothing is known
  std::string html;     ///< on the page
  std::string css{};

  static Cell text(const std::string& text, std::string css = {});
  /// Shown with three significant digits unless `shown` says otherwise. Not finite: text in JSON.
  static Cell number(double value, std::string shown = {}, std::string css = {});
  static Cell integer(std::int64_t value);
};

/// A table that stands on the page and, in whole, in tables/NAME.csv and tables/NAME.json of the run's folder.
struct Table {
  std::string name;
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows; ///< a cell for each column
};

/// Links to the table's two files, `note` before them.
std::string links(const Table& table, const std::string& note = {});
/// The first `rows` rows with the links below; all when 0.
std::string to_html(const Table& table, std::size_t rows = 0);
/// RFC 4180, the columns' keys first.
std::string to_csv(const Table& table);
/// An array with an object for each row.
nlohmann::json to_json(const Table& table);

/// <details>; `summary` and `content` are HTML.
std::string collapsible(std::string_view summary, std::string_view content, bool open, std::string_view css = {});

/// 12345678 -> "12.3 MB"
std::string bytes_text(double bytes);
/// Three significant digits, without an exponent where that reads well.
std::string short_number(double value);

} // namespace tessera::bringup::report_page
