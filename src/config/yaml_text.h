#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "config/source.h"

/// What the YAML library does not say about a text, found out by looking at the text itself.
namespace supv {

/// Where the value that begins at `offset` really begins: behind its `&anchor`.
std::size_t after_anchor(std::string_view text, std::size_t offset);

/// The offset behind the quoted scalar that opens at `offset`; empty when it is never closed.
std::optional<std::size_t> quoted_end(std::string_view text, std::size_t offset);

/// The first quote at or behind `offset` that opens a text and is never closed, if there is one.
std::optional<std::size_t> open_quote(std::string_view text, std::size_t offset);

/// The word at `offset` if it is one of YAML's spellings of null, else empty.
std::string_view null_word(std::string_view text, std::size_t offset);

/// The offset of the first tab in the indentation of a line that is not inside one of `spans`
/// (multi-line scalars, from their start to the start of what follows them).
std::optional<std::size_t> tab_indentation(
    const Source& source, const std::vector<std::pair<std::size_t, std::size_t>>& spans);

/// Reports `%` directives other than `%YAML 1.2`; false if there were any.
bool check_directives(const Source& source, Report& report);

/// A parser's message in the words of the person who wrote the file.
struct Plain {
  std::string_view text;
  std::string_view help;
};
Plain plain_words(std::string_view parser_message);

}  // namespace supv
