#include "app/supvctl_table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cwchar>

namespace supv::ctl {
namespace {

/// Reads one character of UTF-8; what is none counts as one byte.
std::size_t next_character(std::string_view text, char32_t& character) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  character = size == 1 ? lead : lead & (0xffU >> (size + 1));
  if (size > text.size()) return 1;
  for (std::size_t i = 1; i < size; ++i) {
    character = (character << 6) | (static_cast<unsigned char>(text[i]) & 0x3f);
  }
  return size;
}

std::size_t character_width(char32_t character) {
  const int width = wcwidth(static_cast<wchar_t>(character));
  return width < 0 ? 1 : static_cast<std::size_t>(width);
}

std::string cut(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    char32_t character = 0;
    const std::size_t size = next_character(text.substr(at), character);
    if (used + character_width(character) + 1 > width) break;
    used += character_width(character);
    at += size;
  }
  return std::string(text.substr(0, at)) + "…";
}

std::string pad(std::string text, std::size_t from, std::size_t to, bool right) {
  const std::string spaces(to > from ? to - from : 0, ' ');
  return right ? spaces + text : text + spaces;
}

}  // namespace

std::string paint(std::string_view text, Tone tone, bool colour) {
  const char* start = "";
  switch (tone) {
    case Tone::plain:
      return std::string(text);
    case Tone::good:
      start = "\033[32m";
      break;
    case Tone::bad:
      start = "\033[31m";
      break;
    case Tone::busy:
      start = "\033[33m";
      break;
    case Tone::faint:
      start = "\033[2m";
      break;
  }
  return colour ? fmt::format("{}{}\033[0m", start, text) : std::string(text);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    char32_t character = 0;
    text.remove_prefix(next_character(text, character));
    width += character_width(character);
  }
  return width;
}

std::string render_table(const std::vector<std::string>& heading,
                         const std::vector<std::vector<Cell>>& rows,
                         const std::vector<std::size_t>& right, std::optional<std::size_t> width,
                         bool colour) {
  std::vector<std::size_t> widths;
  for (const std::string& title : heading) widths.push_back(display_width(title));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i].text));
    }
  }
  std::vector<Cell> titles;
  for (const std::string& title : heading) titles.push_back({title, Tone::faint});
  std::string out;
  const auto add = [&](const std::vector<Cell>& row) {
    std::size_t column = 0;
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      std::string text = row[i].text;
      if (last && width) text = cut(text, *width > column ? *width - column : 1);
      const std::size_t shown = display_width(text);
      const bool to_right = std::find(right.begin(), right.end(), i) != right.end();
      text = paint(text, row[i].tone, colour);
      line += last ? text : pad(std::move(text), shown, widths[i], to_right) + "  ";
      column += widths[i] + 2;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add(titles);
  for (const auto& row : rows) add(row);
  return out;
}

std::optional<std::size_t> terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) != 1 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
      size.ws_col == 0) {
    return {};
  }
  return size.ws_col;
}

std::string brief_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(0.0, seconds));
  const std::int64_t minutes = whole / 60;
  const std::int64_t hours = minutes / 60;
  const auto two = [](std::int64_t big, char unit, std::int64_t small, char small_unit) {
    return fmt::format("{}{}{}", big, unit,
                       small == 0 ? "" : fmt::format("{}{}", small, small_unit));
  };
  if (whole < 60) return fmt::format("{}s", whole);
  if (minutes < 60) return two(minutes, 'm', minutes < 10 ? whole % 60 : 0, 's');
  return hours < 24 ? two(hours, 'h', minutes % 60, 'm') : two(hours / 24, 'd', hours % 24, 'h');
}

std::string age(std::int64_t wall_ms, std::int64_t now_ms) {
  const double seconds = static_cast<double>(now_ms - wall_ms) / 1000;
  return seconds < 1 ? "just now" : brief_duration(seconds) + " ago";
}

std::string ahead(std::int64_t wall_ms, std::int64_t now_ms) {
  const double seconds = static_cast<double>(wall_ms - now_ms) / 1000;
  return seconds <= 0 ? "now" : "in " + brief_duration(seconds + 0.999);
}

std::int64_t now_wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace supv::ctl
