#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace supv::import_god {

/// A piece of a watch file on its way to text.
struct Yaml {
  enum class Kind { scalar, list, map };
  Kind kind = Kind::scalar;
  std::string text;     ///< Of a scalar; interpolation in it is meant.
  bool quoted = false;  ///< A scalar that must not read as anything but a text.
  std::vector<Yaml> items;
  std::vector<std::pair<std::string, Yaml>> entries;
  std::string comment;  ///< Lines above it, without '#'.

  bool operator==(const Yaml&) const = default;

  bool empty() const { return text.empty() && items.empty() && entries.empty(); }
  /// The entry's value, or null.
  const Yaml* find(std::string_view key) const;
  /// Adds or replaces an entry.
  Yaml& set(std::string_view key, Yaml value);
  void erase(std::string_view key);
};

/// A word of the watch file's own language: 5s, true, restart.
Yaml word(std::string text);
/// A text of the user's: taken literally, also when it holds `${`.
Yaml literal(std::string_view text);
Yaml list(std::vector<Yaml> items = {});
Yaml map(std::vector<std::pair<std::string, Yaml>> entries = {});

/// Renders a map as a document: short lists and maps of the inner levels on one line, others as
/// blocks.
std::string render(const Yaml& document);

}  // namespace supv::import_god
