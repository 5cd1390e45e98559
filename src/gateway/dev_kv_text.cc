#include <array>
#include <cmath>
#include <limits>

#include "gateway/dev_kv_api.h"

namespace supv {
namespace {

/// How many bytes of `text` are one well-formed UTF-8 character; 0: none.
std::size_t utf8_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t size = first < 0x80U   ? 1
                           : first < 0xc2U ? 0
                           : first < 0xe0U ? 2
                           : first < 0xf0U ? 3
                           : first < 0xf5U ? 4
                                           : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0U) != 0x80U) return 0;
  if (size < 3) return size;
  // Overlong forms, surrogates and what lies beyond Unicode.
  const unsigned second = byte(1);
  if ((first == 0xe0U && second < 0xa0U) || (first == 0xedU && second > 0x9fU)) return 0;
  if ((first == 0xf0U && second < 0x90U) || (first == 0xf4U && second > 0x8fU)) return 0;
  return size;
}

std::string escape(unsigned code) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[code >> shift & 15U];
  return out;
}

/// The unit at the beginning of `text` in nanoseconds, cut off; 0: none.
double cut_unit(std::string_view& text) {
  struct Unit {
    std::string_view name;
    double ns;
  };
  static constexpr std::array kUnits{
      Unit{"ns", 1},   Unit{"us", 1e3}, Unit{"\xc2\xb5s", 1e3}, Unit{"\xce\xbcs", 1e3},
      Unit{"ms", 1e6}, Unit{"s", 1e9},  Unit{"m", 60e9},        Unit{"h", 3600e9}};
  for (const Unit& unit : kUnits) {
    if (text.substr(0, unit.name.size()) != unit.name) continue;
    text.remove_prefix(unit.name.size());
    return unit.ns;
  }
  return 0;
}

/// The decimal number at the beginning of `text`, cut off; empty when there is none.
std::optional<double> cut_number(std::string_view& text) {
  double number = 0;
  double scale = 1;
  bool digits = false;
  bool fraction = false;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '.' && !fraction) {
      fraction = true;
    } else if (c >= '0' && c <= '9') {
      digits = true;
      number = number * 10 + (c - '0');
      if (fraction) scale *= 10;
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  if (!digits) return std::nullopt;
  return number / scale;
}

}  // namespace

std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto number = cut_number(text);
    const double unit = number ? cut_unit(text) : 0;
    if (unit == 0) return std::nullopt;
    total += *number * unit;
  }
  if (!(total < 9.2e18)) return std::nullopt;
  const auto count = static_cast<std::int64_t>(total);
  return std::chrono::nanoseconds(negative ? -count : count);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t size = utf8_size(text);
    const char c = text.front();
    const std::string_view whole = text.substr(0, size);
    if (size == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'};
    } else if (size == 1 && (c < ' ' || c == '<' || c == '>' || c == '&')) {
      out += escape(static_cast<unsigned char>(c));
    } else if (whole == "\xe2\x80\xa8" || whole == "\xe2\x80\xa9") {
      out += escape(whole.back() == '\xa8' ? 0x2028 : 0x2029);
    } else {
      out += whole;
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out + '"';
}

}  // namespace supv
