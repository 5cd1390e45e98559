#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "config/load.h"
#include "config/tree.h"

namespace supv {

/// The names that one file gives to `${…}`; what it does not say, the file that includes it says.
struct Scope {
  const Scope* outer = nullptr;
  std::map<std::string, std::string, std::less<>> vars;
  std::optional<std::string> interface;
  std::optional<std::string> ip;
  std::optional<std::string> mac;
  std::optional<std::string> hostname;
};

/// Replaces `${…}` in texts (contract 2). `$${` stands for a literal `${`.
class Expander {
 public:
  Expander(const LoadInput& input, Report& report) : input_(input), report_(report) {}

  /// The scope that belongs to a file's own text.
  void add(const Source* source, const Scope* scope) { scopes_[source] = scope; }
  /// From here on texts are read for a watch of this scope, or for none (empty name).
  void enter(const Scope* scope, std::string watch_name);
  void set_watch_dir(std::string dir) { watch_dir_ = std::move(dir); }

  /// The scalar's text with everything replaced, or empty after an error.
  std::optional<std::string> expand(const Node& node);

 private:
  std::optional<std::string> look_up(const Node& node, std::size_t at, std::string_view name);
  std::optional<std::string> watch_value(std::string_view member) const;
  const std::string* variable(const Node& node, std::string_view name) const;
  std::optional<std::string> node_fact(std::string_view member);
  std::string suggestion(const Node& node, std::string_view name) const;
  void unknown(const Node& node, std::size_t at, std::string_view name);
  /// An error at the byte `at` of the node's text.
  void fail(const Node& node, std::size_t at, std::size_t length, std::string text,
            std::string help);
  /// False once the configuration unfolds to more than any real one.
  bool spend(const Node& node, std::size_t bytes);

  const LoadInput& input_;
  Report& report_;
  std::map<const Source*, const Scope*> scopes_;
  const Scope* scope_ = nullptr;
  std::string watch_name_;
  std::optional<std::string> watch_dir_;
  std::map<std::string, NodeFacts> facts_;
  std::size_t spent_ = 0;
};

}  // namespace supv
