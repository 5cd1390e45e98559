#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "core/messages.h"

namespace supv {

/// Keeps short texts under keys so that a kill or a power cut at any moment leaves, for each key,
/// either its new text or the one before, and so that a full disk never costs what is there.
///
/// The file consists of slots of 1 KiB, allocated ahead. A text is a chain of slots with one
/// sequence number; it is valid only if every slot of it is whole. Each key owns two chains, the
/// current and the one before, which the next change overwrites: room for a change of an existing
/// key never has to be found.
class StateFile {
 public:
  static constexpr std::size_t kSlot = 1024;
  static constexpr std::size_t kMaxKey = 255;
  static constexpr std::size_t kMaxText = 8192;

  /// Opens or creates `path` (0600) and reads what it holds; garbage in it is skipped and its room
  /// is used again. Throws std::system_error when the file cannot be opened, created or read.
  explicit StateFile(const std::string& path);

  /// Everything that was found, in the order of keys.
  const std::vector<Memory>& found() const { return found_; }
  /// Gives the memory of found() back.
  void forget_found() { found_ = {}; }

  /// Replaces the text of `key`; an empty text drops the key. `sync` returns only after the disk
  /// has it. Empty on success, else why not; then the text before is still there, unless only the
  /// waiting for the disk failed.
  std::optional<std::string> put(std::string_view key, std::string_view text, bool sync);

 private:
  using Chain = std::vector<std::uint32_t>;
  struct Entry {
    Chain current;
    Chain spare;  // May be longer than any text needs.
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  struct Scan;

  void read_all();
  template <typename Versions>
  void adopt(const std::string& key, Versions& versions);
  bool reserve(std::size_t slots);
  bool grow(std::uint32_t slots);
  void lengthen(Chain& chain, std::size_t slots);
  bool write_text(const Chain& chain, std::string_view key, std::string_view text);
  bool write_slot(std::uint32_t slot, const char* bytes);
  void wipe(Chain& chain);
  std::optional<std::string> drop(Entries::iterator at, bool sync);
  std::optional<std::string> finish(bool sync);

  Fd fd_;
  std::uint32_t slots_ = 0;
  std::uint64_t sequence_ = 0;
  Entries entries_;
  std::vector<std::uint32_t> free_;  // Holds nothing that could be read as a valid text.
  std::vector<Memory> found_;
};

}  // namespace supv
