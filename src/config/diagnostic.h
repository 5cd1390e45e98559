#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace supv {

/// A place in a text file, with the line that stands there.
struct Place {
  std::string file;
  std::size_t line = 1;
  std::size_t column = 1;   ///< 1-based, counted in characters (not bytes).
  std::size_t length = 1;   ///< How many characters the caret underlines.
  std::string excerpt;      ///< The source line, cut to a window; empty: nothing to show.
  std::size_t skipped = 0;  ///< Characters that were cut off before the excerpt.
};

/// One thing that is wrong, or that a person should know, about a configuration.
struct Diagnostic {
  enum class Severity : unsigned char { error, warning };
  Severity severity = Severity::error;
  Place place;       ///< What has no place is at 1:1 without an excerpt.
  std::string text;  ///< One line: "unknown key 'intreval' of a watch".
  std::string help;  ///< One line: "did you mean 'interval'?"; may be empty.
  /// A second place that belongs to it, and what it is: "first time here".
  std::optional<Place> related;
  std::string related_text;
};

/// `FILE:LINE:COL: error: TEXT`, then the excerpt with its caret, the related place and the help.
/// Everything that came from a file is made safe for a terminal. Ends with a newline.
std::string render(const Diagnostic& diagnostic, bool colour = false);
std::string render(const std::vector<Diagnostic>& diagnostics, bool colour = false);

/// True when nothing in it is an error.
bool without_errors(const std::vector<Diagnostic>& diagnostics);

}  // namespace supv
