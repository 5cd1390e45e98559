#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace supv::scribe {

/// Who a log belongs to; see Follow.
struct LogOwner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0640;
  bool operator==(const LogOwner&) const = default;
};

/// Opens a log for writing, creating it and its parents (0750). A path that somebody else than
/// root or ourselves could bend (a directory or symlink of another owner, a directory that others
/// may write) is walked with the rights of the run's user. The last component is never followed.
/// `/dev/stdout` and `/dev/stderr` are our own. Returns an empty Fd with errno set.
Fd open_log(const std::string& path, const LogOwner& owner);

/// What copying to something that is no regular file needs; one for all of them.
struct Scratch {
  Fd read_end;
  Fd write_end;
  std::array<char, 4096> bytes;
};

/// Why a transfer ended.
enum class Transfer : std::uint8_t {
  empty,    ///< Nothing left for now.
  ended,    ///< Nothing left, and nobody writes any more.
  more,     ///< The budget is used up.
  blocked,  ///< The target takes nothing; error() says why. No byte was lost.
};

/// One log target, shared by every FIFO that names the same path.
class LogFile {
 public:
  LogFile(std::string_view path, LogOwner owner);

  std::string_view path() const { return path_.get(); }
  const LogOwner& owner() const { return owner_; }
  /// errno of the last Transfer::blocked.
  int error() const { return error_; }
  /// The next transfer opens the file anew.
  void reopen() { fresh_ = false; }

  /// Moves at most about `budget` bytes from `fifo` to the end of the file. Looks once whether the
  /// file was renamed or removed, and then opens a new one.
  Transfer take(int fifo, std::size_t budget, Scratch& scratch);

  std::uint32_t users = 0;  ///< FIFOs that write here.

 private:
  /// How bytes get to the target.
  enum class Way : std::uint8_t { splice, copy };

  bool prepare(off_t& end);
  bool was_replaced() const;
  bool open_now();
  Transfer blocked(int error);
  Transfer splice_from(int fifo, std::size_t budget, off_t end);
  Transfer copy_from(int fifo, std::size_t budget, Scratch& scratch);
  bool writable_now() const;

  std::unique_ptr<char[]> path_;  ///< There may be thousands; a string would be 24 bytes more.
  LogOwner owner_;
  Fd fd_;
  int error_ = 0;
  Way way_ = Way::splice;
  bool regular_ = false;
  bool socket_ = false;
  bool fresh_ = false;  ///< False: to be opened (again).
};

}  // namespace supv::scribe
