#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supv {

/// Standard base64 with padding.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

/// Keys and values with the indexes a Consul server would give them (verified against 1.8.7): a
/// write of what is there already changes none, a deletion leaves a tombstone.
class KvStore {
 public:
  struct Entry {
    std::string value;
    std::uint64_t flags = 0;
    std::uint64_t create_index = 0;
    std::uint64_t modify_index = 0;
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  /// Null when there is none.
  const Entry* find(std::string_view key) const;
  /// Those whose key begins with `prefix`, in the order of their keys.
  std::vector<Entries::const_pointer> list(std::string_view prefix) const;

  /// True when something changed.
  bool put(std::string_view key, std::string_view value, std::uint64_t flags);
  bool erase(std::string_view key);
  bool erase_prefix(std::string_view prefix);

  /// What X-Consul-Index says of a key that is there, and otherwise of the whole table.
  std::uint64_t index_of_key(std::string_view key) const;
  std::uint64_t index_of_prefix(std::string_view prefix) const;
  /// True when the index above is the whole table's.
  bool uses_table_index(std::string_view key, bool prefix) const;

  /// The content as lines of text, and back; empty when it is not such a text.
  std::string dump() const;
  static std::optional<KvStore> parse(std::string_view text);

 private:
  void bury(std::string_view key);
  std::uint64_t newest_under(std::string_view prefix) const;
  bool parse_line(std::string_view line);

  Entries entries_;
  std::map<std::string, std::uint64_t, std::less<>> tombstones_;
  std::uint64_t last_index_ = 10;  ///< Counts every write; a real server has used some by itself.
  std::uint64_t table_index_ = 0;  ///< Of the last change.
};

}  // namespace supv
