#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/fd.h"
#include "courier/frames.h"
#include "courier/wire.h"

namespace supv {

/// The brain's end of the channel to the courier. Nothing blocks. The same socket may have served
/// an earlier brain: what was meant for that one is dropped.
class CourierChannel {
 public:
  /// Takes the socket and says Hello.
  explicit CourierChannel(Fd socket);

  /// Queues a request. False when nothing can be sent: the channel is closed, the request is
  /// larger than courier::kMaxRequest, or more than 16 MiB wait already.
  bool send(const courier::Request& request);
  /// The next answer that has arrived, in any order of tags; call until empty. Also sends what
  /// is still queued.
  std::optional<courier::Done> receive();

  /// For epoll: readable means receive(); writable matters only while wants_write().
  int fd() const { return socket_.get(); }
  bool wants_write() const { return outbox_.pending() > 0; }
  /// The courier has gone (or speaks nonsense); every request without an answer is unknown.
  bool closed() const { return closed_ || inbox_.closed(); }

 private:
  Fd socket_;
  courier::Outbox outbox_;
  courier::Inbox inbox_;
  std::uint64_t session_ = 0;
  bool welcomed_ = false;
  bool closed_ = false;
};

}  // namespace supv
