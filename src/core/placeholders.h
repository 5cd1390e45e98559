#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The %{…} in what contacts are told.
namespace supv {

/// The words that may stand in %{…}.
const std::vector<std::string_view>& placeholder_names();
/// The first %{…} that is none of them: what stands between the braces; empty when all are known.
/// A `%%{` is a literal `%{`.
std::optional<std::string> unknown_placeholder(std::string_view pattern);

/// A part of a pattern: a text, or a placeholder (then `text` is its name).
struct PatternPiece {
  std::string_view text;
  bool placeholder = false;
  bool closed = true;  ///< false: a placeholder without its brace.
};
/// Takes the next piece off `pattern`, which is not empty.
PatternPiece next_piece(std::string_view& pattern);

}  // namespace supv
