#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/fd.h"
#include "scribe/wire.h"

namespace supv {

/// The brain's end of the channel to the scribe. Never blocks: what does not fit now is queued and
/// sent by flush().
class ScribeChannel {
 public:
  /// Takes the brain's end of a SOCK_SEQPACKET pair and makes it non-blocking.
  explicit ScribeChannel(Fd fd);

  /// For epoll: EPOLLIN always, EPOLLOUT while pending().
  int fd() const { return fd_.get(); }
  /// False once the scribe is gone; a new one wants a new channel and every follow again.
  bool alive() const { return alive_; }
  bool pending() const { return !queue_.empty(); }

  /// See scribe::Follow. False, and nothing is sent, when a path is too long or `log` relative.
  bool follow(std::uint64_t id, const std::string& fifo, const std::string& log, std::uint32_t uid,
              std::uint32_t gid, std::uint32_t mode = 0);
  void forget(std::uint64_t id);
  void reopen();
  /// Sends what is queued, as far as it goes.
  void flush();
  /// Everything the scribe has said since the last call.
  std::vector<scribe::Lost> receive();

 private:
  void send(const void* message, std::size_t size);

  Fd fd_;
  bool alive_ = true;
  std::deque<std::string> queue_;
};

}  // namespace supv
