#include "config/source.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>

namespace supv {
namespace {

constexpr std::size_t kExcerptWidth = 100;

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

/// The bytes of the first `count` characters of `text`.
std::size_t bytes_of(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (!continues(text[at]) && count-- == 0) break;
    ++at;
  }
  return at;
}

std::vector<std::size_t> line_starts(std::string_view text) {
  std::vector<std::size_t> lines = {0};
  for (std::size_t at = text.find('\n'); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    lines.push_back(at + 1);
  }
  return lines;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Length of the UTF-8 sequence at the start of `text`; 0 if it is none.
std::size_t sequence(std::string_view text, std::uint32_t& code) {
  const auto lead = static_cast<unsigned char>(text[0]);
  code = lead;
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || length > text.size()) return 0;
  code = lead & (0x7FU >> length);
  for (const char c : text.substr(1, length - 1)) {
    if (!continues(c)) return 0;
    code = code << 6U | (static_cast<unsigned char>(c) & 0x3FU);
  }
  if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000)) return 0;
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
  return length;
}

/// Why a character may not stand in a watch file; empty if it may.
std::string_view refusal(std::uint32_t code, bool before_newline) {
  if (code == '\r' && before_newline) return "";
  if (code == 0) return "a NUL character";
  if ((code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7F && code <= 0x9F)) {
    return "a control character";
  }
  if (code == 0xFEFF) return "a byte order mark inside the text";
  if (code == 0xFFFE || code == 0xFFFF) return "a character that Unicode reserves";
  if ((code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069)) {
    return "a character that reverses the reading direction";
  }
  return "";
}

}  // namespace

Source::Source(std::string file_path, std::string content)
    : path(std::move(file_path)),
      dir(folder_of(path)),
      text(std::move(content)),
      lines(line_starts(text)) {}

std::size_t Source::line_at(std::size_t offset) const {
  const auto next = std::upper_bound(lines.begin(), lines.end(), offset);
  return static_cast<std::size_t>(next - lines.begin()) - 1;
}

Place Source::place(std::size_t offset, std::size_t length) const {
  offset = std::min(offset, text.size());
  const std::size_t line = line_at(offset);
  std::size_t end = text.find('\n', lines[line]);
  if (end == std::string::npos) end = text.size();
  if (end > lines[line] && text[end - 1] == '\r') --end;
  const std::string_view whole = std::string_view(text).substr(lines[line], end - lines[line]);
  const std::size_t byte = std::min(offset - lines[line], whole.size());
  length = std::min(length, whole.size() - byte);
  Place place;
  place.file = path;
  place.line = line + 1;
  place.column = count_characters(whole.substr(0, byte)) + 1;
  place.length = std::max<std::size_t>(count_characters(whole.substr(byte, length)), 1);
  // A long line is shown from a little before the place.
  std::string_view shown = whole;
  if (place.column + place.length > kExcerptWidth) {
    place.skipped = place.column - 1 - std::min<std::size_t>(place.column - 1, kExcerptWidth / 2);
    shown.remove_prefix(bytes_of(whole, place.skipped));
  }
  place.excerpt = std::string(shown.substr(0, bytes_of(shown, kExcerptWidth)));
  place.length = std::min(place.length, kExcerptWidth);
  return place;
}

void Report::error(Place place, std::string text, std::string help) {
  add({Diagnostic::Severity::error, std::move(place), std::move(text), std::move(help), {}, ""});
}

void Report::warning(Place place, std::string text, std::string help) {
  add({Diagnostic::Severity::warning, std::move(place), std::move(text), std::move(help), {}, ""});
}

void Report::add(Diagnostic diagnostic) {
  const bool error = diagnostic.severity == Diagnostic::Severity::error;
  if (error ? full() : diagnostics_.size() - errors_ >= kMaxErrors) return;
  const Place& place = diagnostic.place;
  if (!seen_
           .insert(
               fmt::format("{}\n{}\n{}\n{}", place.file, place.line, place.column, diagnostic.text))
           .second) {
    return;
  }
  if (error) ++errors_;
  diagnostics_.push_back(std::move(diagnostic));
}

std::vector<Diagnostic> Report::take(const std::vector<std::string>& files) {
  const auto key = [&files](const Diagnostic& d) {
    const auto file = std::find(files.begin(), files.end(), d.place.file) - files.begin();
    return std::tuple(file, d.place.line, d.place.column);
  };
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(),
                   [&key](const auto& a, const auto& b) { return key(a) < key(b); });
  if (errors_ >= kMaxErrors) {
    Place last = diagnostics_.back().place;
    last.excerpt.clear();
    diagnostics_.push_back({Diagnostic::Severity::error,
                            std::move(last),
                            fmt::format("more than {} errors; the rest is not shown", kMaxErrors),
                            "",
                            {},
                            ""});
  }
  return std::move(diagnostics_);
}

bool check_text(Source& source, Report& report) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (source.text.size() > kMaxFileBytes) {
    Place place;
    place.file = source.path;
    report.error(place, "this file is larger than 1 MiB");
    return false;
  }
  if (source.lines.size() > kMaxLines) {
    report.error(source.place(source.lines[kMaxLines], 1),
                 fmt::format("this file has more than {} lines", kMaxLines));
    return false;
  }
  if (source.text.starts_with("\xFF\xFE") || source.text.starts_with("\xFE\xFF")) {
    Place place;
    place.file = source.path;
    report.error(place, "this file is UTF-16", "save it as UTF-8");
    return false;
  }
  if (source.text.starts_with(kMark)) {
    source = Source(source.path, source.text.substr(kMark.size()));
  }
  const std::size_t before = report.errors();
  const std::string_view text = source.text;
  for (std::size_t at = 0; at < text.size() && !report.full();) {
    std::uint32_t code = 0;
    const std::size_t length = sequence(text.substr(at), code);
    if (length == 0) {
      report.error(source.place(at, 1), "this is not valid UTF-8", "save the file as UTF-8");
      return false;
    }
    const bool before_newline = at + 1 < text.size() && text[at + 1] == '\n';
    if (const auto why = refusal(code, before_newline); !why.empty()) {
      report.error(source.place(at, length), fmt::format("{} (U+{:04X})", why, code),
                   code == '\r' ? "end lines with a line feed" : "");
      if (report.errors() - before >= 10) return false;
    }
    at += length;
  }
  return report.errors() == before;
}

}  // namespace supv
