#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supv {

/// Shell-style match of the whole text: `*`, `?`, `[a-z]`, no special rule for `/` or dots.
bool glob_match(std::string_view pattern, std::string_view text);

/// `path` as a pattern of glob(3) that matches it alone.
std::string escape_glob(std::string_view path);

/// The candidate nearest to `word` if it is near enough to be a slip (Damerau-Levenshtein, at most
/// a third of the length, at least one), else empty.
std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& words);

/// Makes untrusted bytes safe for a terminal and a log line: control characters, DEL, C1, bidi
/// controls and invalid UTF-8 become \xNN; newline and tab become \n and \t.
std::string printable(std::string_view bytes);

}  // namespace supv
