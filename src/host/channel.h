#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "host/wire.h"

namespace supv {

/// The brain's end of the channel to the host. Nothing blocks; what the socket does not take waits
/// here. The same socket may have served an earlier brain: what was meant for that one is dropped.
class HostChannel {
 public:
  /// Takes the socket and says Hello.
  explicit HostChannel(Fd socket);

  /// Queues a message. False: it is larger than host::kMaxPacket and was not sent.
  bool send(const host::Message& message);
  /// Sends what the socket takes by now.
  void flush();
  /// The next message that has arrived; call until empty.
  std::optional<host::Message> receive();

  /// For epoll: readable means receive(); writable means flush(), and matters only while
  /// wants_write().
  int fd() const { return socket_.get(); }
  bool wants_write() const { return !waiting_.empty(); }
  /// The host has gone (or speaks nonsense); no answer will come any more.
  bool closed() const { return closed_; }

 private:
  Fd socket_;
  std::deque<std::string> waiting_;
  std::unique_ptr<char[]> buffer_;  ///< kMaxPacket, of which few bytes are ever touched.
  std::uint64_t session_ = 0;
  bool welcomed_ = false;
  bool closed_ = false;
};

}  // namespace supv
