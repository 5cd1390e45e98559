#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "courier/channel.h"
#include "courier/wire.h"

namespace supv {

/// What came of a request that the courier was to carry.
struct HttpAnswer {
  /// False: it never came to an exchange, because of the courier or of the request itself, and
  /// says nothing about the server; `done.error` says why.
  bool carried = true;
  courier::Done done;
};

/// Requests through the courier that are not Consul's: those of conditions. Their tags have the
/// highest bit set, so that they are told apart from the clusters'.
class HttpCalls {
 public:
  enum class Id : std::uint64_t { none = 0 };
  /// Called once, never from within send() or cancel(). May call both.
  using Done = std::function<void(HttpAnswer answer)>;

  /// `courier` hands out its channel, starting it if need be; null: it cannot be reached now.
  explicit HttpCalls(std::function<CourierChannel*()> courier) : courier_(std::move(courier)) {}

  /// Sends a request; its tag is chosen here.
  Id send(courier::Request request, Done done);
  /// In place of send(), for a request that makes no sense on this machine: `why` is its answer.
  Id refuse(std::string why, Done done);
  /// The answer, when it comes, is dropped. An id that is over does no harm.
  void cancel(Id id);
  std::size_t under_way() const { return under_way_.size() + ready_.size(); }

  /// One answer of the courier. False: it is not for us.
  bool hear(courier::Done& done);
  /// The courier is gone, and what was under way with it.
  void lost();
  /// Answers that need no courier.
  void say_ready();
  bool has_ready() const { return !ready_.empty(); }

 private:
  struct Ready {
    Id id;
    Done done;
    std::string error;
  };
  std::function<CourierChannel*()> courier_;
  std::uint64_t last_ = 0;
  std::unordered_map<std::uint64_t, Done> under_way_;  // By tag.
  std::vector<Ready> ready_;
};

}  // namespace supv
