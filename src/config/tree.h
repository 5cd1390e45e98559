#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "config/source.h"

namespace supv {

struct Node;

/// One `key: value` of a map.
struct Entry {
  const Node* key = nullptr;  ///< Always a scalar.
  const Node* value = nullptr;
};

/// One value of a watch file and where it is written. Nodes are made by an Arena and never change
/// once their file has been read; maps that are merged from others are new nodes that share
/// children, so an inherited value still points to where it was written.
struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;  ///< Scalar in quotes or a block; never a number or a boolean.
  bool alias = false;   ///< Scalar that stands for `*name`; its place is that of the alias.
  const Source* source = nullptr;
  std::size_t offset = 0;  ///< Byte offset in the source.
  std::size_t length = 1;  ///< In bytes, as far as it is on one line.
  /// The scalar's value; of a null that is written ("null", "~") how it is written.
  std::string text;
  std::vector<const Node*> items;
  std::vector<Entry> entries;

  Place place() const { return source->place(offset, length); }
  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
  bool is_scalar() const { return kind == Kind::scalar; }
  /// `key:` with nothing behind it, unlike a written `null`.
  bool is_empty() const { return kind == Kind::null && text.empty(); }
  /// The value of a key, or nullptr. Linear.
  const Node* find(std::string_view key) const;
};

/// Owns nodes.
class Arena {
 public:
  Node& make(Node node) { return nodes_.emplace_back(std::move(node)); }

 private:
  std::deque<Node> nodes_;
};

inline constexpr std::size_t kMaxDepth = 64;
inline constexpr std::size_t kMaxAliasExpansions = 10'000;
/// Values in one file, each counted as often as an alias repeats it.
inline constexpr std::size_t kMaxNodes = 200'000;

/// Reads one document of checked text (check_text). Returns its root, a null node for an empty
/// file; or nullptr after reporting what is wrong. Merge keys (`<<`) are resolved.
const Node* parse_tree(const Source& source, Arena& arena, Report& report);

/// What a kind is called in a message: "a list".
std::string_view kind_name(Node::Kind kind);

}  // namespace supv
