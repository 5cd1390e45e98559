#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace supv {

/// The bytes of one client of a stream socket: lines in, lines out, nothing ever waits.
class Connection {
 public:
  /// `fd` is connected and non-blocking. A line longer than `max_line` breaks the connection.
  Connection(Fd fd, std::size_t max_line);

  enum class Input {
    open,    ///< More may come.
    ended,   ///< The client will send nothing more, but may still read.
    broken,  ///< Gone, or not one of ours.
  };
  /// Reads what has come, at most one buffer; descriptors sent along are closed at once. The first
  /// byte of all must be `{`, so that an HTTP or Redis request smuggled in here dies.
  Input fill();
  Input input() const { return input_; }
  /// The next complete line, without its newline; empty when there is none. A last line without
  /// newline counts once the input has ended.
  std::optional<std::string> next_line();
  /// True when what is buffered is a line longer than allowed.
  bool too_long() const;

  /// Queues and sends what the socket takes. False: the client has gone.
  bool send(std::string_view bytes);
  bool flush();
  /// Bytes that the client has not taken yet.
  std::size_t backlog() const { return out_.size() - sent_; }
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::size_t max_line_;
  Input input_ = Input::open;
  bool greeted_ = false;
  std::string in_;
  std::size_t scanned_ = 0;  // Of in_: holds no newline so far.
  std::string out_;
  std::size_t sent_ = 0;
};

}  // namespace supv
