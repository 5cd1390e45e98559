#include "core/placeholders.h"

#include <algorithm>
#include <utility>

namespace supv {

const std::vector<std::string_view>& placeholder_names() {
  static const std::vector<std::string_view> kNames = {
      "watch",    "message", "state", "action", "condition", "priority",
      "category", "host",    "time",  "kind",   "count"};
  return kNames;
}

PatternPiece next_piece(std::string_view& pattern) {
  const std::size_t open = pattern.find("%{");
  if (open == std::string_view::npos) return {std::exchange(pattern, {})};
  if (open > 0 && pattern[open - 1] == '%') {
    // The literal: the text before it, or itself without its first percent sign.
    const std::size_t size = open > 1 ? open - 1 : 3;
    const PatternPiece piece{open > 1 ? pattern.substr(0, size) : pattern.substr(1, 2)};
    pattern.remove_prefix(size);
    return piece;
  }
  if (open > 0) {
    const PatternPiece piece{pattern.substr(0, open)};
    pattern.remove_prefix(open);
    return piece;
  }
  const std::size_t close = pattern.find('}');
  const bool closed = close != std::string_view::npos;
  const PatternPiece piece{pattern.substr(2, closed ? close - 2 : close), true, closed};
  pattern.remove_prefix(closed ? close + 1 : pattern.size());
  return piece;
}

std::optional<std::string> unknown_placeholder(std::string_view pattern) {
  const auto& names = placeholder_names();
  while (!pattern.empty()) {
    const PatternPiece piece = next_piece(pattern);
    if (!piece.placeholder) continue;
    if (!piece.closed || std::find(names.begin(), names.end(), piece.text) == names.end())
      return std::string(piece.text);
  }
  return std::nullopt;
}

}  // namespace supv
