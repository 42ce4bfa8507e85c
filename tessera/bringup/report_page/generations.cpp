// The section of the generated texts, side by side.

#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/details.hpp"
#include "tessera/bringup/report_page/section.hpp"

namespace tessera::bringup::report_page {
namespace {

/// A token's text, or without a tokenizer its id.
std::string token(const std::vector<std::string>& texts, const Ids& ids, std::size_t i) {
  return i < texts.size() ? escaped(texts[i]) : fmt::format("{} ", ids[i]);
}

/// The text with what is other than in the other text marked, the first of it most.
std::string marked(const Ids& ids, const std::vector<std::string>& texts, const Ids& other, std::size_t parted) {
  std::string html;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string text = token(texts, ids, i);
    const bool differs = i >= other.size() || ids[i] != other[i];
    const std::string seen = text.empty() ? "·" : text; // a part of a character, which the last part shows
    if (i == parted) {
      html += "<mark class=\"parted\">" + seen + "</mark>";
    } else {
      html += differs ? "<mark>" + seen + "</mark>" : text;
    }
  }
  return html;
}

std::size_t parted_at(const GenerationDetail& one) {
  const auto [a, b] = std::mismatch(one.reference.begin(), one.reference.end(), one.device.begin(), one.device.end());
  return static_cast<std::size_t>(a - one.reference.begin());
}

std::string pair_html(const GenerationDetail& one) {
  const std::size_t parted = parted_at(one);
  const std::size_t count = std::max(one.reference.size(), one.device.size());
  const std::string verdict = parted == count ? fmt::format("the same {} tokens", count)
                                              : fmt::format("part at token {} of {}", parted + 1, count);
  const std::string prompt = one.prompt_text.empty() ? fmt::format("{} ids", one.prompt.size()) : one.prompt_text;
  return fmt::format(
      "<article class=\"generation\"><h3>Prompt {} <small>{}</small></h3>\n<p class=\"prompt\">{}</p>\n"
      "<div class=\"pair\"><div><h4>reference</h4><p>{}</p></div><div><h4>device</h4><p>{}</p></div></div></article>\n",
      one.number, verdict, escaped(prompt), marked(one.reference, one.reference_texts, one.device, parted),
      marked(one.device, one.device_texts, one.reference, parted));
}

Table table_of(const std::vector<GenerationDetail>& generations) {
  Table table{.name = "generations",
              .caption = "Generated tokens",
              .columns = {{"prompt", "prompt", true},
                          {"token", "token", true},
                          {"reference_id", "id", true, "reference"},
                          {"reference", "token", false, "reference"},
                          {"device_id", "id", true, "device"},
                          {"device", "token", false, "device"},
                          {"equal", "equal"}},
              .rows = {}};
  for (const GenerationDetail& one : generations) {
    for (std::size_t i = 0; i < std::max(one.reference.size(), one.device.size()); ++i) {
      const auto id = [&](const Ids& ids) { return i < ids.size() ? Cell::integer(ids[i]) : Cell{nullptr, "", ""}; };
      const auto text = [&](const std::vector<std::string>& texts) {
        return i < texts.size() ? Cell::text(texts[i]) : Cell{nullptr, "", ""};
      };
      const bool equal = i < one.reference.size() && i < one.device.size() && one.reference[i] == one.device[i];
      table.rows.push_back({Cell::integer(static_cast<std::int64_t>(one.number)),
                            Cell::integer(static_cast<std::int64_t>(i)),
                            id(one.reference),
                            text(one.reference_texts),
                            id(one.device),
                            text(one.device_texts),
                            {equal, equal ? "yes" : "no", {}}});
    }
  }
  return table;
}

} // namespace

Section generations_section(const RunFolder& run) {
  Section section{
      .id = "generations",
      .title = "Generated texts",
      .lead =
          "Both models go on from the prompts by their own best tokens. From the first token that differs they read "
          "different texts; the stage generation judges how sure the reference was there."};
  fill_from(section, run.generations, [&] {
    const auto generations = generations_from_json(run.generations.content);
    section.body += "<figure id=\"figure-generations\">\n";
    for (const GenerationDetail& one : generations) section.body += pair_html(one);
    section.body += "</figure>\n";
    Table table = table_of(generations);
    section.body += links(table);
    section.tables.push_back(std::move(table));
  });
  return section;
}

} // namespace tessera::bringup::report_page
