#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/units.h"
#include "config/schema.h"
#include "config/scope.h"
#include "config/tree.h"
#include "core/spec.h"

namespace supv {

/// Turns nodes into typed values. Every function reports what is wrong at the node's place, and
/// then leaves `out` as it was.
class Reader {
 public:
  Reader(Expander& expander, Report& report) : expander_(expander), report_(report) {}

  std::optional<std::string> text(const Node& node);
  void text(const Node& node, std::string& out);
  void boolean(const Node& node, bool& out);
  void duration(const Node& node, Duration& out, Duration least = Duration{0});
  void percent(const Node& node, double& out, double most);
  void number(const Node& node, double& out, double least);
  void integer(const Node& node, std::uint32_t& out, std::uint32_t least, std::uint32_t most);
  void octal(const Node& node, std::optional<std::uint32_t>& out);
  void signal(const Node& node, int& out);
  /// The index of the choice, or empty.
  std::optional<std::size_t> choice(const Node& node, std::string_view choices);
  void texts(const Node& node, std::vector<std::string>& out);
  void text_map(const Node& node, std::vector<std::pair<std::string, std::string>>& out);
  void times(const Node& node, TimesSpec& out);
  void command(const Node& node, std::optional<Command>& out);
  void ladder(const Node& node, std::vector<LadderStep>& out);

  /// False after an error: "this must be …, not a list".
  bool require(const Node& node, Node::Kind kind, std::string_view what);
  void error(const Node& node, std::string text, std::string help = "");
  void warning(const Node& node, std::string text, std::string help = "");
  /// The same for an unknown word, with the nearest known one.
  void unknown(const Node& node, std::string text, std::string_view word,
               const std::vector<std::string_view>& known);
  Report& report() { return report_; }
  Expander& expander() { return expander_; }
  /// A contact, or a group of them, that `node` names; whether it exists is known when all is read.
  void mention(const Node& node, std::string contact) {
    mentions_.emplace(&node, std::move(contact));
  }
  const std::set<std::pair<const Node*, std::string>>& mentions() const { return mentions_; }

 private:
  /// Expanded text of a scalar that must not be in quotes; `what` as in "a whole number".
  std::optional<std::string> plain(const Node& node, std::string_view what);
  std::optional<LadderStep> step(const Node& node, bool last);

  /// True the first time something is said about a node: what many watches inherit is read many
  /// times, and finding a place in a long line takes time.
  bool first_time(const Node& node, std::string_view text);

  Expander& expander_;
  Report& report_;
  std::unordered_set<std::size_t> said_;
  std::set<std::pair<const Node*, std::string>> mentions_;
};

/// The keys of one map, checked against its level.
class Fields {
 public:
  /// Reports unknown keys, and keys without a value; a key set to `null` counts as not written.
  Fields(Reader& reader, const Node& map, const Level& level);
  /// The value of a key of the level, or nullptr when it is not written.
  const Node* find(std::string_view key) const;

 private:
  const Node& map_;
};

/// Watch, group and condition names: [A-Za-z0-9_.-]{1,64}, not starting with '.' or '-'.
bool valid_name(std::string_view name);

}  // namespace supv
