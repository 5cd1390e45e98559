#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "courier/wire.h"

namespace supv::courier {

/// One whole message.
struct Message {
  Kind kind = Kind::hello;
  std::string payload;
};

/// Whether the other end is still there after a look at the socket.
enum class Link : std::uint8_t { open, closed };

/// Messages waiting to be sent, cut into packets the socket takes. Never blocks, never drops.
class Outbox {
 public:
  void push(Kind kind, std::string payload);
  /// Sends what the socket takes.
  Link flush(int socket);
  /// Bytes not handed to the socket yet.
  std::size_t pending() const { return pending_; }
  /// Forgets everything that is queued, the unsent rest of a message under way included; the
  /// other side drops its beginning when the next message starts.
  void clear();

 private:
  std::deque<Message> queue_;
  std::size_t sent_ = 0;  ///< Of the first message.
  std::size_t pending_ = 0;
};

/// Puts packets together again and checks each one's length, order and limits.
class Inbox {
 public:
  /// The next whole message; empty when the socket has no more at the moment or is `closed`.
  std::optional<Message> receive(int socket);
  /// End of file, an error, or a packet that is none of ours.
  bool closed() const { return closed_; }

 private:
  std::optional<Message> take(const char* packet, std::size_t size);
  std::optional<Message> broken();

  std::string buffer_;
  Message partial_;
  std::size_t total_ = 0;  ///< Of the partial message; 0: none.
  bool closed_ = false;
};

}  // namespace supv::courier
