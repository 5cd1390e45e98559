#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "brain/reactor.h"
#include "brain/roles.h"
#include "courier/channel.h"
#include "host/channel.h"
#include "scribe/scribe_channel.h"

namespace supv {

/// Our ends of the lines to scribe, courier, host and trial KV.
class RoleLines {
 public:
  struct Ears {
    std::function<void(ScribeChannel*)> scribe;  ///< A new scribe; null: none any more.
    std::function<void(const scribe::Lost&)> lost;
    std::function<void(courier::Done)> done;
    std::function<void()> courier_gone;
    std::function<void(HostChannel*)> host;  ///< A new host; null: none any more.
    std::function<void()> host_said;         ///< Its channel can be read.
    std::function<void(std::uint16_t)> dev_port;
    std::function<void(Roles::Name)> broken;  ///< The line ended, the role perhaps not.
  };
  RoleLines(Reactor& reactor, Ears ears) : reactor_(reactor), ears_(std::move(ears)) {}

  void up(Roles::Name name, Fd channel);
  void down(Roles::Name name);
  /// Null while there is none.
  CourierChannel* courier() { return courier_.channel.get(); }
  ScribeChannel* scribe() { return scribe_.channel.get(); }
  /// Waits for room where something is queued; call it before Reactor::wait.
  void before_wait();

 private:
  template <typename ChannelType>
  struct Line {
    std::unique_ptr<ChannelType> channel;
    bool writing = false;
    Watching watching;  // Last: ends before the channel is closed.
  };
  void read_scribe();
  void read_courier();
  void read_host();
  void read_dev();

  Reactor& reactor_;
  Ears ears_;
  Line<ScribeChannel> scribe_;
  Line<CourierChannel> courier_;
  Line<HostChannel> host_;
  Fd dev_;
  std::string dev_said_;
  Watching dev_watching_;
};

}  // namespace supv
