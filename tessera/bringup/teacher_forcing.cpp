#include "tessera/bringup/teacher_forcing.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::bringup {

void add_logits(Pair& pair, const ReferenceOutput& expected, const generate::SequenceOutput& actual, std::size_t length,
                std::int64_t first, std::int64_t last) {
  const std::int64_t known = expected.first_position(length);
  first = std::max(first, known);
  if (first < last) pair.add(expected.logits, first - known, actual.logits, first, last - first);
}

TeacherForcing teacher_force(nn::CausalLM& device, Reference& reference, const std::vector<Ids>& texts,
                             const ForcingOptions& options) {
  std::vector<Ids> known;
  std::vector<const ReferenceOutput*> expected;
  TeacherForcing result;
  for (std::size_t text = 0; text < texts.size(); ++text) {
    const ReferenceOutput* output = reference.sequence(texts[text]);
    if (output == nullptr) continue;
    known.push_back(texts[text]);
    expected.push_back(output);
    const auto length = static_cast<std::int64_t>(texts[text].size());
    for (std::int64_t i = output->first_position(texts[text].size()); i < length; ++i) {
      result.tokens.push_back({.text = text, .position = i, .agreement = {}});
    }
  }
  base::require(!known.empty(), "[teacher forcing] the reference must know logits of a text; {} knows none of {}",
                reference.description(), texts.size());
  const auto outputs =
      generate::forward(device, known, {.prefill_positions = options.prefill_positions, .progress = options.progress});
  Pair logits;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    add_logits(logits, *expected[i], outputs[i], known[i].size(), 0, static_cast<std::int64_t>(known[i].size()));
  }
  const auto width = static_cast<std::size_t>(device.info().vocab_size);
  const auto rows = metrics::compare_logits_rows(logits.expected, logits.actual, width);
  result.agreement = metrics::mean_agreement(rows, logits.expected, logits.actual);
  for (std::size_t i = 0; i < rows.size(); ++i) result.tokens[i].agreement = rows[i];
  return result;
}

} // namespace tessera::bringup
