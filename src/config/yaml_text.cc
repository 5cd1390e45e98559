#include "config/yaml_text.h"

#include <array>
#include <string>

namespace supv {
namespace {

using std::string_view;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Behind white space and comments.
std::size_t skip_blank(string_view text, std::size_t at) {
  while (at < text.size()) {
    if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (is_blank(text[at])) {
      ++at;
    } else {
      break;
    }
  }
  return at;
}

struct Translation {
  string_view parser;
  Plain plain;
};

constexpr std::array<Translation, 17> kTranslations = {{
    {"end of map not found",
     {"this does not fit the map around it",
      "check the indentation, and that every key has a ':'"}},
    {"end of sequence not found",
     {"this does not fit the list around it", "check the indentation of the '-' items"}},
    {"illegal map value",
     {"a ':' that is not expected here", "put text that contains ': ' in quotes"}},
    {"illegal map key", {"a key that is not expected here", "check the indentation"}},
    {"illegal block entry", {"a '-' that is not expected here", "check the indentation"}},
    {"illegal flow end", {"this bracket closes nothing", ""}},
    {"unknown token", {"a value cannot begin with this character", "put the text in quotes"}},
    {"illegal tab when looking for indentation",
     {"a tab in the indentation", "indent with spaces"}},
    {"cannot assign multiple tags to the same node", {"tags are not supported", ""}},
    {"cannot assign multiple anchors to the same node", {"a value with two anchors", ""}},
    {"aliases can't have any content, *including* tags",
     {"an alias stands alone", "remove what stands beside it"}},
    {"alias not found after *",
     {"a '*' must be followed by the name of an anchor",
      "put text that begins with '*' in quotes"}},
    {"anchor not found after &",
     {"a '&' must be followed by a name", "put text that begins with '&' in quotes"}},
    {"bad file", {"lists and maps are nested too deeply", ""}},
    {"cannot set zero indentation for a block scalar",
     {"a block of text cannot have an indentation of 0", ""}},
    {"illegal EOF in scalar", {"a quoted text is never closed", ""}},
    {"illegal document indicator in scalar",
     {"a document ends inside a quoted text", "close the quote"}},
}};

}  // namespace

std::size_t after_anchor(string_view text, std::size_t offset) {
  while (offset < text.size() && text[offset] == '&') {
    while (offset < text.size() && !is_blank(text[offset])) ++offset;
    offset = skip_blank(text, offset);
  }
  return offset;
}

std::optional<std::size_t> quoted_end(string_view text, std::size_t offset) {
  const char quote = text[offset];
  for (std::size_t at = offset + 1; at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      const bool doubled = quote == '\'' && at + 1 < text.size() && text[at + 1] == quote;
      if (!doubled) return at + 1;
      ++at;
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> open_quote(string_view text, std::size_t offset) {
  while ((offset = text.find_first_of("'\"", offset)) != string_view::npos) {
    // A quote in the middle of a plain text, as in don't, opens nothing.
    const bool opens =
        offset == 0 || string_view(" \t\n[{,:-?").find(text[offset - 1]) != string_view::npos;
    if (!opens) {
      ++offset;
      continue;
    }
    const auto end = quoted_end(text, offset);
    if (!end) return offset;
    offset = *end;
  }
  return std::nullopt;
}

string_view null_word(string_view text, std::size_t offset) {
  for (const string_view word : {"null", "Null", "NULL", "~"}) {
    if (text.substr(std::min(offset, text.size())).starts_with(word)) {
      return text.substr(offset, word.size());
    }
  }
  return {};
}

std::optional<std::size_t> tab_indentation(
    const Source& source, const std::vector<std::pair<std::size_t, std::size_t>>& spans) {
  std::size_t span = 0;
  for (const std::size_t start : source.lines) {
    while (span < spans.size() && spans[span].second <= start) ++span;
    const std::size_t first = source.text.find_first_not_of(" \t", start);
    if (first == std::string::npos) break;
    const char c = source.text[first];
    if (c == '\n' || c == '\r' || c == '#') continue;
    const std::size_t tab = source.text.find('\t', start);
    if (tab >= first) continue;
    const bool inside = span < spans.size() && spans[span].first < start &&
                        source.line_at(spans[span].second) > source.line_at(start);
    if (!inside) return tab;
  }
  return std::nullopt;
}

bool check_directives(const Source& source, Report& report) {
  const string_view text = source.text;
  std::size_t at = 0;
  while ((at = skip_blank(text, at)) < text.size() && text[at] == '%') {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    string_view line = text.substr(at, end - at);
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    if (line != "%YAML 1.2") {
      report.error(source.place(at, line.size()), "directives are not supported",
                   "remove the line; watch files are YAML 1.2");
      return false;
    }
    at = end;
  }
  return true;
}

Plain plain_words(string_view parser_message) {
  for (const Translation& translation : kTranslations) {
    if (translation.parser == parser_message) return translation.plain;
  }
  return {parser_message, ""};
}

}  // namespace supv
