#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tessera/bringup/report_page/html.hpp"
#include "tessera/bringup/report_page/run_folder.hpp"

namespace tessera::bringup::report_page {

/// A part of the page with a heading of its own.
struct Section {
  std::string id;
  std::string title;
  std::string lead;   ///< a sentence on what is to be seen, plain text
  std::string body{}; ///< HTML
  std::vector<Table> tables{};

  /// Adds the table to the body and to those that are written; `rows` as in to_html.
  void add(Table table, std::size_t rows = 0);
  /// Adds a sentence that says why something is not there.
  void add_missing(const std::string& why);
};

/// What `fill` does with a file, or why it is not done: the file cannot be used, or `fill` throws what its reader does.
void fill_from(Section& section, const RunFile& file, const std::function<void()>& fill);

Section stages_section(const RunFolder& run);
Section modules_section(const RunFolder& run);
Section tokens_section(const RunFolder& run);
Section generations_section(const RunFolder& run);
Section speed_section(const RunFolder& run);
Section memory_section(const RunFolder& run);
Section timeline_section(const RunFolder& run);
Section sharding_section(const RunFolder& run);
Section op_graph_section(const RunFolder& run);

/// The page's head: passed or not, the first failure and what to try, the facts.
std::string verdict_html(const RunFolder& run);

/// "passed" as a sign and a word, by its verdict; the sign says it without colour.
std::string verdict_badge(Verdict verdict);
std::string verdict_badge(bool passed);

} // namespace tessera::bringup::report_page
