#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "courier/datagrams.h"
#include "courier/origin.h"
#include "courier/transfer.h"
#include "courier/wire.h"

namespace supv::courier {

/// Everything that is under way, on an epoll of its own. Nothing blocks.
class Transfers : private SocketWatch {
 public:
  using Id = std::uint64_t;
  struct Finished {
    Id id = 0;
    Done done;
  };

  Transfers();
  ~Transfers() override;

  /// Starts a request; its answer comes from finished(), also when it cannot even be tried.
  Id start(Request request);
  /// Does what can be done now and hands over what has ended.
  std::vector<Finished> run();

  /// Readable when run() has something to do.
  int fd() const { return epoll_.get(); }
  /// When run() has something to do at the latest.
  std::optional<Clock::time_point> wake() const;
  std::size_t under_way() const { return transfers_.size() + lookups_.size(); }

 private:
  struct UnderWay {
    std::unique_ptr<Transfer> transfer;
    std::multimap<Clock::time_point, Id>::iterator deadline;
  };

  struct Lookup {
    std::uint64_t tag = 0;
    std::uint32_t deadline_ms = 0;
    std::multimap<Clock::time_point, Id>::iterator deadline;
  };

  void watch(Origin& origin, curl_socket_t socket, int what) override;
  Origin* find_origin(const Request& request, const UrlParts& url, std::string& error);
  bool begin(Id id, Request& request, std::string& error);
  void take_sockets();
  void take_datagrams();
  void give_up(Id id);
  void take_timers();
  void take_ended();
  void drop_idle_origins();
  void end(Id id, Done done);

  Fd epoll_;
  std::optional<CurlApi> curl_;
  std::string missing_;  ///< Why there is no curl.
  Id last_ = 0;
  std::size_t buffered_ = 0;
  std::unordered_map<curl_socket_t, Origin*> sockets_;  ///< Outlives the origins that fill it.
  std::map<std::string, std::unique_ptr<Origin>> origins_;
  std::unordered_map<Id, UnderWay> transfers_;
  std::unordered_map<const Transfer*, Id> ids_;
  Datagrams datagrams_;
  std::unordered_map<Id, Lookup> lookups_;  ///< Datagrams that have not been sent yet.
  std::multimap<Clock::time_point, Id> deadlines_;
  std::vector<Finished> finished_;
};

}  // namespace supv::courier
