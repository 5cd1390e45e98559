#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "keeper/wire.h"

namespace supv {

/// One message of the keeper. `dumped` is a Plain; every other kind but `slot` is a News.
struct FromKeeper {
  std::variant<wire::Plain, wire::Slot, wire::News> message;
  std::vector<Fd> fds;  ///< slot: the stored descriptors.
};

/// The brain's end of the line to the keeper. Never blocks: what finds no room waits in order.
class Channel {
 public:
  /// Takes the SEQPACKET socket (descriptor 3 of a brain) and makes it non-blocking and CLOEXEC.
  explicit Channel(Fd socket);

  int fd() const { return socket_.get(); }

  /// Sends or queues a wire:: struct; the descriptors are closed once they are sent. False: the
  /// keeper is gone.
  template <typename Message>
  bool send(const Message& message, std::vector<Fd>&& fds = {}) {
    static_assert(std::is_trivially_copyable_v<Message> && std::is_standard_layout_v<Message>);
    return send_bytes(&message, sizeof message, std::move(fds));
  }
  /// Whether something is queued: poll for writing and call flush().
  bool wants_write() const { return !queue_.empty(); }
  /// Sends what there is room for. False: the keeper is gone.
  bool flush();

  enum class Got { message, nothing, closed };
  /// Takes one message. A packet that is none of ours is skipped.
  Got receive(FromKeeper& into);

 private:
  struct Waiting {
    std::string bytes;
    std::vector<Fd> fds;
  };
  bool send_bytes(const void* bytes, std::size_t size, std::vector<Fd> fds);
  Got receive_one(FromKeeper& into, bool& ours);

  Fd socket_;
  std::deque<Waiting> queue_;
};

}  // namespace supv
