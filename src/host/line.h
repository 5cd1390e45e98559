#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "host/wire.h"

namespace supv::host {

/// The end of the channel in the process of a plugin, from which its conditions also ask the brain.
class Line {
 public:
  /// `threads`: calls come from others than the thread that receives.
  Line(int channel, bool threads);

  /// The next message, waiting for it; empty once the brain is gone, or speaks nonsense.
  std::optional<Message> receive();
  /// Waits until there is room. What cannot be sent any more is lost.
  void send(const Message& message);
  /// Asks the brain, which answers at once.
  Got ask(Want want);

 private:
  std::optional<Message> read();
  bool take(Message& message);

  const int channel_;
  const bool threads_;
  std::string buffer_;
  std::deque<Message> kept_;  ///< Read while an answer was awaited.
  std::mutex speaking_;
  std::mutex waiting_;  ///< Guards what follows.
  std::condition_variable heard_;
  std::uint64_t calls_ = 0;
  std::map<std::uint64_t, std::optional<Got>> answers_;  ///< Those that are awaited.
  bool closed_ = false;
};

}  // namespace supv::host
