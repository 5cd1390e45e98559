#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "brain/commands.h"
#include "brain/contact_message.h"
#include "brain/http_calls.h"
#include "core/messages.h"

namespace supv {

/// Carries what contacts are told: by the courier, by a command, or into the system's log. Nothing
/// here waits; each delivery is answered once, within the contact's timeout.
class Deliveries {
 public:
  struct Surroundings {
    HttpCalls* http = nullptr;
    Commands* commands = nullptr;
    std::function<Moment()> now;
    std::string host;  ///< This machine's name.
  };
  /// What came of one delivery; its tag is the caller's business.
  using Done = std::function<void(ev::Delivered answer)>;

  explicit Deliveries(Surroundings surroundings) : around_(std::move(surroundings)) {}

  /// The contacts in force.
  void set(const std::vector<ContactSpec>& contacts);
  bool knows(const std::string& contact) const { return contacts_.count(contact) > 0; }
  /// `done` may be called from within.
  void deliver(const fx::Deliver& deliver, Done done);

 private:
  /// What several requests of one delivery come to.
  struct Joint {
    Done done;
    ev::Delivered answer;
    std::size_t left = 0;
  };
  void send(std::vector<courier::Request> requests, std::uint32_t timeout_ms, Done done);
  void run(CommandRequest request, Done done);
  static ev::Delivered log(const std::string& socket, const std::vector<std::string>& lines);

  Surroundings around_;
  std::map<std::string, ContactSpec> contacts_;
};

/// The only notice of a test delivery.
Notice test_notice(std::int64_t wall_ms);
/// This machine's name, for what is told.
std::string machine_name();

}  // namespace supv
