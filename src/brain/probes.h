#pragma once

#include <netinet/in.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "brain/reactor.h"
#include "core/messages.h"

namespace supv {

/// A socket address with its length.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
};

/// Turns host names into addresses without waiting on a name server more than once a minute.
class Addresses {
 public:
  /// The addresses of "HOST:PORT" or "[V6]:PORT"; empty when it is malformed or unknown.
  /// `now` bounds how long a name's answer is believed.
  std::vector<Endpoint> find(const std::string& host_and_port, Time now);

 private:
  struct Known {
    std::vector<Endpoint> endpoints;
    Time until{};
  };
  std::map<std::string, Known> known_;
};

/// Looks, once per request, whether a run is ready: a TCP port that accepts, or a file that is
/// newer than the run. Says nothing when it is not.
class Probes {
 public:
  /// `ready` is called with the run of a probe that succeeded, from within look() or the reactor.
  Probes(Reactor& reactor, std::function<void(RunId)> ready)
      : reactor_(reactor), ready_(std::move(ready)) {}

  /// One look. A TCP connection still under way is left to go on unless it is five seconds old.
  /// `started_wall_ms` is the start of the run; an older file does not count.
  void look(const fx::Probe& probe, std::int64_t started_wall_ms, Time now);
  /// Ends what is under way for a run.
  void forget(RunId run) { connecting_.erase(run); }

 private:
  struct Attempt {
    Fd socket;
    Watching watching;
  };
  struct Connecting {
    Time since{};
    std::vector<Attempt> attempts;
  };
  void connect(const fx::Probe& probe, Time now);
  bool connect_one(RunId run, const Endpoint& endpoint);
  void on_connected(RunId run, int socket);

  Reactor& reactor_;
  std::function<void(RunId)> ready_;
  Addresses addresses_;
  std::map<RunId, Connecting> connecting_;
};

}  // namespace supv
