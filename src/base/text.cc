#include "base/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace supv {
namespace {

using std::string_view;

/// Matches one bracket expression at `pattern[at]`; `at` moves behind it. Empty: there is no
/// closing bracket, so the `[` is an ordinary character.
std::optional<bool> match_class(string_view pattern, std::size_t& at, char c) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool hit = false;
  for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
    const auto low = static_cast<unsigned char>(pattern[i]);
    auto high = low;
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      high = static_cast<unsigned char>(pattern[i + 2]);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    hit = hit || (low <= byte && byte <= high);
    ++i;
  }
  if (i >= pattern.size()) return std::nullopt;
  at = i + 1;
  return hit != negated;
}

/// Matches the one-character element at `pattern[at]` and moves behind it.
bool match_one(string_view pattern, std::size_t& at, char c) {
  const char p = pattern[at];
  if (p == '[') {
    if (const auto hit = match_class(pattern, at, c)) return *hit;
  }
  ++at;
  return (p == '?') || p == c;
}

/// Length of the UTF-8 sequence at `bytes[at]` and its code point; 0 when it is not valid.
std::size_t decode(string_view bytes, std::size_t at, std::uint32_t& code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(at);
  code = lead;
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > bytes.size()) return 0;
  code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
    code = code << 6 | (byte(at + i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
  return length;
}

/// What would move a cursor, reorder a line or break it in two.
bool dangerous(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x061C || code == 0x200E ||
         code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

void append_escaped(std::string& out, char c) {
  constexpr string_view kHex = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += "\\x";
  out += kHex[byte >> 4U];
  out += kHex[byte & 15U];
}

/// Damerau-Levenshtein distance (neighbours swapped count one).
std::size_t distance(string_view a, string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

bool glob_match(string_view pattern, string_view text) {
  std::size_t at = 0;
  std::size_t i = 0;
  // Where to go on when a match fails: the last star takes one character more.
  std::size_t star = string_view::npos;
  std::size_t resume = 0;
  while (i < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      resume = i;
      continue;
    }
    if (at < pattern.size() && match_one(pattern, at, text[i])) {
      ++i;
      continue;
    }
    if (star == string_view::npos) return false;
    at = star;
    i = ++resume;
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

string_view nearest_word(string_view word, const std::vector<string_view>& words) {
  constexpr std::size_t kLongest = 128;  // keeps hostile input from costing a quadratic table
  if (word.empty() || word.size() > kLongest) return {};
  string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const string_view candidate : words) {
    const std::size_t gap = candidate.size() > word.size() ? candidate.size() - word.size()
                                                           : word.size() - candidate.size();
    if (gap >= best_distance) continue;
    const std::size_t found = distance(word, candidate);
    // A word of which no letter is left is no suggestion.
    if (found < best_distance && found < std::max(word.size(), candidate.size())) {
      best = candidate;
      best_distance = found;
    }
  }
  return best;
}

std::string escape_glob(string_view path) {
  std::string pattern;
  for (const char c : path) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::string printable(string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::uint32_t code = 0;
    const std::size_t length = decode(bytes, at, code);
    if (code == '\n' || code == '\t') {
      out += code == '\n' ? "\\n" : "\\t";
    } else if (length == 0 || dangerous(code)) {
      for (std::size_t i = 0; i < std::max<std::size_t>(length, 1); ++i) {
        append_escaped(out, bytes[at + i]);
      }
    } else {
      out += bytes.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return out;
}

}  // namespace supv
