#include "config/diagnostic.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace supv {
namespace {

struct Paint {
  std::string_view error;
  std::string_view warning;
  std::string_view bold;
  std::string_view dim;
  std::string_view end;
};

Paint paint(bool colour) {
  if (!colour) return {};
  return {"\x1b[1;31m", "\x1b[1;33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"};
}

std::size_t character_length(std::string_view text) {
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) ++bytes;
  return bytes;
}

/// How many columns of a terminal one character takes after printable(): combining marks none,
/// East Asian wide characters and emoji two.
std::size_t display_width(std::string_view character, std::string_view shown) {
  if (shown.size() != character.size() || shown.size() == 1) return shown.size();
  std::uint32_t code = static_cast<unsigned char>(character[0]) & (0xFFU >> (character.size() + 1));
  for (const char c : character.substr(1))
    code = code << 6U | (static_cast<unsigned char>(c) & 0x3FU);
  const auto within = [code](std::uint32_t low, std::uint32_t high) {
    return code >= low && code <= high;
  };
  if (within(0x0300, 0x036F) || within(0x200B, 0x200D) || within(0xFE00, 0xFE0F)) return 0;
  const bool wide = within(0x1100, 0x115F) || within(0x2E80, 0xA4CF) || within(0xAC00, 0xD7A3) ||
                    within(0xF900, 0xFAFF) || within(0xFE30, 0xFE6F) || within(0xFF00, 0xFF60) ||
                    within(0xFFE0, 0xFFE6) || within(0x1F300, 0x1FAFF) || within(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

void append_excerpt(std::string& out, const Place& place, char mark, std::string_view label,
                    const Paint& ink) {
  if (place.excerpt.empty()) return;
  const std::string_view cut = place.skipped > 0 ? "..." : "";
  std::string shown(cut);
  std::string blanks(cut.size(), ' ');
  std::string line;
  const std::size_t begin = place.column - 1 - std::min(place.skipped, place.column - 1);
  std::string_view rest = place.excerpt;
  for (std::size_t at = 0; !rest.empty(); ++at) {
    const std::string_view character = rest.substr(0, character_length(rest));
    const std::string safe = printable(character);
    const std::size_t width = display_width(character, safe);
    if (at < begin) blanks.append(width, ' ');
    if (at >= begin && at - begin < place.length) line.append(width, mark);
    shown += safe;
    rest.remove_prefix(character.size());
  }
  if (line.empty()) line = mark;
  out += fmt::format("{}{:>5} |{} {}\n", ink.dim, place.line, ink.end, shown);
  out += fmt::format("{}      |{} {}{}{}{}", ink.dim, ink.end, blanks, ink.bold, line, ink.end);
  if (!label.empty()) out += fmt::format(" {}", label);
  out += '\n';
}

}  // namespace

std::string render(const Diagnostic& diagnostic, bool colour) {
  const Paint ink = paint(colour);
  const bool error = diagnostic.severity == Diagnostic::Severity::error;
  const Place& place = diagnostic.place;
  std::string out = fmt::format("{}{}:{}:{}:{} {}{}:{} {}\n", ink.bold, printable(place.file),
                                place.line, place.column, ink.end, error ? ink.error : ink.warning,
                                error ? "error" : "warning", ink.end, printable(diagnostic.text));
  append_excerpt(out, place, '^', "", ink);
  if (diagnostic.related) {
    const Place& other = *diagnostic.related;
    if (other.file != place.file) {
      out += fmt::format("      {}:{}:{}:\n", printable(other.file), other.line, other.column);
    }
    append_excerpt(out, other, '-', printable(diagnostic.related_text), ink);
  }
  if (!diagnostic.help.empty()) {
    out += fmt::format("      {}help:{} {}\n", ink.bold, ink.end, printable(diagnostic.help));
  }
  return out;
}

std::string render(const std::vector<Diagnostic>& diagnostics, bool colour) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) out += render(diagnostic, colour);
  return out;
}

bool without_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::none_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& diagnostic) {
    return diagnostic.severity == Diagnostic::Severity::error;
  });
}

}  // namespace supv
