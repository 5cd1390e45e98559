#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "brain/account.h"
#include "brain/environment.h"
#include "brain/log_pipes.h"
#include "brain/notify.h"
#include "core/messages.h"
#include "keeper/channel.h"
#include "keeper/plan.h"

namespace supv {

/// Everything that says how a run is to be started.
struct StartPlan {
  PlanBuilder plan;
  Account account;
};

/// Writes down what a spawn means on this machine: directory, account, environment (contract 2),
/// program. Reads env files and the account data base. Output, and the notify socket, are still
/// missing. `own` is supvd's environment; `consul_address` is the trial KV's, or empty.
/// Throws StartRefused.
StartPlan plan_start(const fx::Spawn& spawn, const Environment& own,
                     const std::string& consul_address);

/// The runs of the keeper, as the core speaks of them: effects become its messages, its news
/// become events.
class Runs {
 public:
  struct Ears {
    std::function<void(Event)> say;
    /// The end of a run has been taken note of: whatever else is kept for it can go.
    std::function<void(RunId run)> forgotten;
  };
  /// `own`: supvd's environment. Everything must outlive the runs.
  Runs(Channel& keeper, Notify& notify, LogPipes& pipes, Environment own, Ears ears);

  /// The trial KV's address, for CONSUL_HTTP_ADDR; empty: there is none.
  void set_consul_address(std::string address) { consul_address_ = std::move(address); }

  /// Throws StartRefused or std::system_error; then nothing was started.
  void spawn(const fx::Spawn& spawn);
  /// Answers StartFailed at once when the file names nobody that could be taken over.
  void adopt(const fx::Adopt& adopt);
  void stop(const fx::Stop& stop);
  void signal(const fx::Signal& signal);
  /// Answers NotFollowed at once when the file names nobody.
  void follow(const fx::Follow& follow);
  /// Moves tracking to `pid` if it is of the run's tree (MAINPID=).
  void follow_pid(RunId run, int pid);
  void amend(const fx::Amend& amend);
  void forget(RunId run);

  /// A used slot, told when a brain starts; the run is known from here on.
  LiveRun adopt(const wire::Slot& slot, std::vector<Fd>& stored);
  /// News of a run becomes an event.
  void hear(const wire::News& news);

  /// The tracked process; 0: none (any more).
  int pid_of(RunId run) const;
  /// When its exec was confirmed, Unix milliseconds; 0: not yet.
  std::int64_t started_wall_ms(RunId run) const;
  /// Whether anything of this watch is known to the keeper. By chance in 2^64, of another one.
  bool any_of(const std::string& watch) const;
  /// Runs that were spawned and have neither been launched nor failed.
  std::size_t launching() const { return launching_; }

 private:
  struct Fact {
    int pid = 0;
    bool launching = false;
    std::size_t watch = 0;  ///< Hash of its name; see any_of().
    std::int64_t started_wall_ms = 0;
  };
  void give_notify_socket(const fx::Spawn& spawn, StartPlan& start, std::vector<Fd>& stored);
  void settle(RunId run);

  Channel& keeper_;
  Notify& notify_;
  LogPipes& pipes_;
  Environment own_;
  Ears ears_;
  std::string consul_address_;
  std::size_t launching_ = 0;
  std::unordered_map<RunId, Fact> facts_;
};

}  // namespace supv
