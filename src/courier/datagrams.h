#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "courier/wire.h"

namespace supv::courier {

/// Sends UDP datagrams. Addresses that are numbers are sent to at once; names are looked up by a
/// thread each, because nothing can ask the system's resolver without waiting for it.
class Datagrams {
 public:
  Datagrams();
  ~Datagrams();
  Datagrams(const Datagrams&) = delete;
  Datagrams& operator=(const Datagrams&) = delete;

  struct Finished {
    std::uint64_t id = 0;
    Done done;
  };
  /// Sends `request`'s body to the host and port of its URL; the answer comes from take_ended().
  void start(std::uint64_t id, const Request& request, const std::string& host,
             const std::string& port);
  /// Whom the caller has told that it took too long: the answer that comes yet is dropped.
  std::vector<Finished> take_ended();
  /// Readable when take_ended() has something.
  int fd() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  ///< With the threads, which may outlive this.
};

}  // namespace supv::courier
