#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD

enum class Form { WELL_FORMED, ILL_FORMED, CUT_SHORT };

struct Scan {
  Form form;
  std::size_t length; // bytes of the character, or of the maximal ill-formed part
};

// What a lead byte promises: how many bytes, and the range of the second (table 3-7 narrows only that one).
struct Lead {
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
};

Lead read_lead(unsigned char b) noexcept {
  if (b < 0x80) return {1};
  if (b >= 0xC2 && b <= 0xDF) return {2};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b >= 0xE1 && b <= 0xEF) return {3};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  if (b >= 0xF1 && b <= 0xF3) return {4};
  return {};
}

Scan scan_char(std::string_view text, std::size_t pos) noexcept {
  const Lead lead = read_lead(static_cast<unsigned char>(text[pos]));
  if (lead.length == 0) return {Form::ILL_FORMED, 1};
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (pos + i == text.size()) return {Form::CUT_SHORT, i};
    const auto b = static_cast<unsigned char>(text[pos + i]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (b < low || b > high) return {Form::ILL_FORMED, i};
  }
  return {Form::WELL_FORMED, lead.length};
}

} // namespace

std::size_t utf8_length(char lead) noexcept {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

char32_t next_char(std::string_view text, std::size_t& pos) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[pos + i])); };
  const std::size_t length = utf8_length(text[pos]);
  char32_t c = 0;
  switch (length) {
    case 1:
      c = byte(0);
      break;
    case 2:
      c = (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
      break;
    case 3:
      c = (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
      break;
    default:
      c = (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
  pos += length;
  return c;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t b) { out.push_back(static_cast<char>(static_cast<unsigned char>(b))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

std::size_t find_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t pos = 0; pos < text.size();) {
    const Scan scan = scan_char(text, pos);
    if (scan.form != Form::WELL_FORMED) return pos;
    pos += scan.length;
  }
  return std::string_view::npos;
}

std::string LossyUtf8::push(std::string_view bytes) {
  pending_.append(bytes);
  std::string out;
  std::size_t pos = 0;
  while (pos < pending_.size()) {
    const Scan scan = scan_char(pending_, pos);
    if (scan.form == Form::CUT_SHORT) break;
    out.append(scan.form == Form::WELL_FORMED ? std::string_view(pending_).substr(pos, scan.length) : kReplacement);
    pos += scan.length;
  }
  pending_.erase(0, pos);
  return out;
}

std::string LossyUtf8::finish() {
  const bool unfinished = !pending_.empty();
  pending_.clear();
  return std::string(unfinished ? kReplacement : std::string_view());
}

} // namespace tessera::tokenizer
