// The section of the tokens: KL divergence and top-1 hits along the text.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/details.hpp"
#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/report_page/svg.hpp"

namespace tessera::bringup::report_page {
namespace {

// Shades of KL, nats: each ten times the one before; over the last, the device's next token is mostly another.
constexpr double kShades[] = {0.001, 0.01, 0.1, 1.0};
constexpr std::size_t kWorst = 20;

int shade_of(double kl) {
  const auto above = std::find_if(std::begin(kShades), std::end(kShades), [&](double limit) { return kl < limit; });
  return static_cast<int>(above - std::begin(kShades));
}

/// A text; what cannot be seen in it has a sign.
std::string seen(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "↵";
    else if (c == '\t')
      out += "⇥";
    else
      out += c;
  }
  return out;
}

/// A token's text, or without a tokenizer its id.
std::string seen(const TokenDetail& token) {
  return token.text ? seen(*token.text) : fmt::format("{}", token.id);
}

/// The same of a token by itself; one that is no text by itself is told by its id, too.
std::string seen(const std::string& text, std::int32_t id) {
  return text.empty() ? fmt::format("{}", id) : seen(text);
}

/// A token stands in the colour of the prediction that it was made by: the one before it.
std::string text_of(const TokenSequence& sequence) {
  std::string html;
  for (std::size_t i = 0; i < sequence.tokens.size(); ++i) {
    const TokenDetail& token = sequence.tokens[i];
    const bool spaced = !token.text;
    const TokenDetail* before = i > 0 ? &sequence.tokens[i - 1] : nullptr;
    const std::string shown = escaped(seen(token));
    const char* line_end = token.text && token.text->find('\n') != std::string::npos ? "<wbr>" : "";
    if (before == nullptr || !before->judged) {
      html += shown + (spaced ? " " : "") + line_end;
    } else if (before->top1_hit) {
      html += fmt::format("<i class=\"k{}\">{}</i>{}{}", shade_of(before->kl_divergence), shown, spaced ? " " : "",
                          line_end);
    } else {
      html += fmt::format("<i class=\"k{} miss\" title=\"KL {}; reference: {}; device: {}\">{}</i>{}{}",
                          shade_of(before->kl_divergence), short_number(before->kl_divergence),
                          escaped(seen(before->expected_text, before->expected)),
                          escaped(seen(before->actual_text, before->actual)), shown.empty() ? "·" : shown,
                          spaced ? " " : "", line_end);
    }
  }
  return "<p class=\"tokens\">" + html + "</p>\n";
}

std::string bars_of(const TokenSequence& sequence, double most) {
  BarStrip strip{.title = fmt::format("KL divergence along {}", sequence.name), .unit = "KL, nats", .most = most};
  for (const TokenDetail& token : sequence.tokens) {
    strip.values.push_back(token.judged ? token.kl_divergence : std::nan(""));
    strip.marked.push_back(token.judged && !token.top1_hit);
  }
  return "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"KL along the text\">" + to_svg(strip) +
         "</div>\n";
}

struct Sum {
  std::int64_t judged = 0;
  std::int64_t hits = 0;
  double kl = 0.0;
  double most = 0.0; // of the finite ones
};

Sum sum_of(const std::vector<TokenSequence>& sequences) {
  Sum sum;
  for (const TokenSequence& sequence : sequences) {
    for (const TokenDetail& token : sequence.tokens) {
      if (!token.judged) continue;
      ++sum.judged;
      sum.hits += token.top1_hit;
      sum.kl += token.kl_divergence;
      if (std::isfinite(token.kl_divergence)) sum.most = std::max(sum.most, token.kl_divergence);
    }
  }
  return sum;
}

std::vector<Cell> cells_of(const std::string& sequence, std::size_t position, const TokenDetail& token) {
  return {Cell::text(sequence),
          Cell::integer(static_cast<std::int64_t>(position)),
          Cell::integer(token.id),
          {token.text.value_or(""), "<code>" + escaped(seen(token)) + "</code>", {}},
          token.judged ? Cell::number(token.kl_divergence) : Cell{nullptr, "", ""},
          token.judged ? Cell{token.top1_hit, token.top1_hit ? "hit" : "✕ miss", {}} : Cell{nullptr, "", ""},
          token.judged ? Cell::integer(token.expected) : Cell{nullptr, "", ""},
          token.judged
              ? Cell{token.expected_text, "<code>" + escaped(seen(token.expected_text, token.expected)) + "</code>", {}}
              : Cell{nullptr, "", ""},
          token.judged ? Cell::integer(token.actual) : Cell{nullptr, "", ""},
          token.judged
              ? Cell{token.actual_text, "<code>" + escaped(seen(token.actual_text, token.actual)) + "</code>", {}}
              : Cell{nullptr, "", ""}};
}

Table table_of(const std::vector<TokenSequence>& sequences, std::string name, std::string caption) {
  Table table{.name = std::move(name),
              .caption = std::move(caption),
              .columns = {{"sequence", "text"},
                          {"position", "position", true},
                          {"id", "id", true},
                          {"token", "after the token"},
                          {"kl_divergence", "KL, nats", true},
                          {"top1_hit", "top-1"},
                          {"expected_id", "id", true, "reference's next"},
                          {"expected", "token", false, "reference's next"},
                          {"actual_id", "id", true, "device's next"},
                          {"actual", "token", false, "device's next"}},
              .rows = {}};
  for (const TokenSequence& sequence : sequences) {
    for (std::size_t i = 0; i < sequence.tokens.size(); ++i)
      table.rows.push_back(cells_of(sequence.name, i, sequence.tokens[i]));
  }
  return table;
}

/// The rows with the largest divergence, the largest first.
Table worst_of(const std::vector<TokenSequence>& sequences) {
  struct Place {
    double kl;
    std::size_t sequence;
    std::size_t position;
  };
  std::vector<Place> places;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (std::size_t i = 0; i < sequences[s].tokens.size(); ++i) {
      if (sequences[s].tokens[i].judged) places.push_back({sequences[s].tokens[i].kl_divergence, s, i});
    }
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.kl > b.kl; });
  places.resize(std::min(places.size(), kWorst));
  Table table = table_of({}, "worst-tokens", fmt::format("The {} predictions that diverge most", places.size()));
  for (const Place& place : places) {
    const TokenSequence& sequence = sequences[place.sequence];
    table.rows.push_back(cells_of(sequence.name, place.position, sequence.tokens[place.position]));
  }
  return table;
}

std::string key() {
  std::string items;
  const char* texts[] = {"under 0.001", "0.001 to 0.01", "0.01 to 0.1", "0.1 to 1", "1 and more"};
  for (int shade = 0; shade < 5; ++shade)
    items += fmt::format("<li><i class=\"k{}\">token</i> {}</li>", shade, texts[shade]);
  return "<ul class=\"legend tokens\"><li>KL of its prediction, nats:</li>" + items +
         "<li><i class=\"miss\">token</i> top-1 missed</li></ul>\n";
}

} // namespace

Section tokens_section(const RunFolder& run) {
  Section section{
      .id = "tokens",
      .title = "Token by token",
      .lead =
          "The text's own tokens into both models (teacher forcing): how far the device's next-token probabilities are "
          "from the reference's, and whether both put the same token first."};
  fill_from(section, run.tokens, [&] {
    const auto sequences = tokens_from_json(run.tokens.content);
    const Sum sum = sum_of(sequences);
    if (sum.judged == 0) return section.add_missing("The reference's logits are not known for any position.");
    section.body += fmt::format(
        "<dl class=\"figures\"><div><dt>top-1 hits</dt><dd>{:.2f} %</dd></div><div><dt>mean KL</dt><dd>{} "
        "<small>nats</small></dd></div><div><dt>largest KL</dt><dd>{} "
        "<small>nats</small></dd></div><div><dt>positions</dt><dd>{}</dd></div></dl>\n",
        100.0 * static_cast<double>(sum.hits) / static_cast<double>(sum.judged),
        short_number(sum.kl / static_cast<double>(sum.judged)), short_number(sum.most), sum.judged);
    section.body += "<figure id=\"figure-tokens\">\n" + key();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      section.body += collapsible(fmt::format("{}, {} tokens", escaped(sequences[i].name), sequences[i].tokens.size()),
                                  bars_of(sequences[i], sum.most) + text_of(sequences[i]), i == 0);
    }
    section.body += "</figure>\n";
    section.add(worst_of(sequences));
    Table all = table_of(sequences, "tokens", "All positions");
    section.body += links(all);
    section.tables.push_back(std::move(all));
  });
  return section;
}

} // namespace tessera::bringup::report_page
