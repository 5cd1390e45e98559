#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "brain/environment.h"
#include "core/messages.h"
#include "keeper/channel.h"

namespace supv {

/// supvd's own processes beside keeper and brain. The keeper runs them as it runs everything; this
/// starts them at first need, starts them again when they die, and finds them again after a brain
/// died. News about them never reaches the core.
class Roles {
 public:
  enum class Name : std::uint8_t { scribe, courier, dev, host };
  static constexpr std::size_t kCount = 4;
  static const char* text(Name name);

  struct Ears {
    /// A role is there: our end of its channel (dev: the pipe on which it reports its port).
    std::function<void(Name name, Fd channel)> up;
    /// It is gone; what it was asked and has not answered is unknown.
    std::function<void(Name name)> down;
    /// Something a person should know, one line.
    std::function<void(std::string text)> warn;
  };

  /// `environment` is what roles are started with, `runtime_dir` goes to dev.
  Roles(Channel& keeper, Environment environment, std::string runtime_dir, Ears ears);

  /// Starts a role that is not there yet and keeps it there from now on.
  void need(Name name, Time now);
  bool needed(Name name) const { return at(name).wanted; }
  /// Its channel broke although it may still run: ends it, so that it comes anew.
  void broken(Name name);

  /// A slot of the keeper's at the start of a brain. False: it is no role.
  bool adopt(const wire::Slot& slot, std::vector<Fd>& stored, Time now);
  /// News of the keeper. False: not about a role.
  bool hear(const wire::News& news, Time now);

  /// When tick() has something to do.
  std::optional<Time> deadline() const;
  void tick(Time now);

  /// supvd ends: no role is started any more, all but the scribe are told to end.
  void finish();
  /// No role but the scribe is left.
  bool finished() const;

 private:
  enum class State : std::uint8_t {
    absent,
    running,
    stopping,
    waiting,  ///< For its next start.
  };
  struct Role {
    State state = State::absent;
    bool wanted = false;
    RunId run{};
    Time started{};
    Time retry_at{};
    std::chrono::milliseconds delay{0};
  };
  Role& at(Name name) { return roles_[static_cast<std::size_t>(name)]; }
  const Role& at(Name name) const { return roles_[static_cast<std::size_t>(name)]; }
  static std::optional<Name> name_of(wire::Run run);
  void start(Name name, Time now);
  void spawn(Name name, RunId run);
  void stop(Name name, bool now);
  void ended(Name name, Time now, const std::string& how);

  Channel& keeper_;
  Environment environment_;
  std::string runtime_dir_;
  Ears ears_;
  bool finishing_ = false;
  std::uint64_t generation_ = 0;
  std::array<Role, kCount> roles_;
};

}  // namespace supv
