#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "core/messages.h"

namespace supv {

/// The history of all watches: one JSON line per note in DIRECTORY/events.jsonl, moved to .1 when
/// it is full. It never blocks and never fails: what a full disk does not take is counted, and the
/// next line that fits is preceded by one that says how many are missing.
class EventFile {
 public:
  /// An existing file is continued. A directory that cannot be written to drops every line.
  explicit EventFile(const std::string& directory, std::uint64_t limit = 1024 * 1024);

  /// Appends the note and returns its line (JSON text without newline), for followers.
  std::string append(const fx::Note& note, std::int64_t wall_ms);
  /// The newest `count` lines of the watches that `wanted` names ("" is supvd itself), oldest
  /// first. Lines that are no history lines are skipped.
  std::vector<std::string> last(std::size_t count,
                                const std::function<bool(std::string_view watch)>& wanted) const;
  /// Lines that could not be written since the start.
  std::uint64_t dropped() const { return dropped_; }

 private:
  void open_file();
  void rotate();
  bool write_line(std::string_view line);

  std::string path_;
  std::uint64_t limit_;
  Fd fd_;
  std::uint64_t size_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t missing_ = 0;  // Of the dropped ones: not yet told in the file.
};

}  // namespace supv
