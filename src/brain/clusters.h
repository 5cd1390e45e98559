#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/messages.h"
#include "core/protocol.h"
#include "courier/channel.h"
#include "courier/cluster.h"

namespace supv {

/// The Consul clusters as the courier reaches them: what the core asks becomes requests with
/// address, token and options, what comes back becomes events.
class Clusters {
 public:
  using KvDone = std::function<void(protocol::KvAnswer)>;
  struct Ears {
    /// The courier's channel, started if need be; null: it cannot be reached now.
    std::function<CourierChannel*()> courier;
    std::function<void(ev::HttpDone)> done;
  };
  /// `environment` is supvd's own, with its CONSUL_*.
  Clusters(std::map<std::string, std::string> environment, Ears ears);

  /// Takes over the clusters of a configuration. `dev_address`, when not empty, stands in for the
  /// default one. Returns warnings.
  std::vector<std::string> apply(const std::map<std::string, ConsulSpec>& clusters,
                                 const std::string& dev_address);

  /// Every request is answered exactly once, by `done`, never from within the call.
  void ask(const fx::Http& http);
  /// `supvctl kv`: get, put or delete in the default cluster.
  void kv(const protocol::Call& call, KvDone done);

  /// One answer of the courier.
  void hear(courier::Done done);
  /// The courier is gone: all that is under way has the answer "courier died".
  void lost();
  /// Answers that are ready without the courier; calls Ears::done. See `has_ready`.
  void say_ready();
  bool has_ready() const { return !ready_.empty(); }

 private:
  struct Cluster {
    ResolvedCluster resolved;
    TokenSource token;
  };
  struct Asked {
    std::uint64_t core_tag = 0;
    std::string cluster;
    KvDone kv;
    std::string kv_action;
  };
  void send(courier::Request request, Asked asked);
  void conclude(const Asked& asked, courier::Done done);
  void fail(Asked asked, std::string error);

  std::map<std::string, std::string> environment_;
  Ears ears_;
  std::map<std::string, Cluster> clusters_;
  std::uint64_t last_tag_ = 0;
  std::unordered_map<std::uint64_t, Asked> asked_;
  std::vector<std::pair<Asked, courier::Done>> ready_;
};

}  // namespace supv
