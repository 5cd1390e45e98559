#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/contacts.h"
#include "core/kv_feed.h"
#include "core/orders.h"
#include "core/roster.h"
#include "core/world.h"

namespace supv {

/// The whole of supvd that decides. Pure: events in, effects out, no clock, no I/O, nothing that
/// fails. The first event is ev::Boot.
class Supervisor {
 public:
  /// When it wants to be woken even if nothing happens.
  std::optional<Time> wake() const;
  /// One turn. The effects are to be performed in order.
  std::vector<Effect> step(Moment now, Event event);
  /// fx::Finish has been emitted.
  bool done() const { return done_; }

  /// For status and tests.
  const Roster& roster() const { return roster_; }

 private:
  void on(Step& step, const ev::Tick&) { static_cast<void>(step); }
  void on(Step& step, ev::Boot& event);
  void on(Step& step, const ev::Launched& event);
  void on(Step& step, const ev::StartFailed& event);
  void on(Step& step, const ev::Exited& event);
  void on(Step& step, const ev::Gone& event);
  void on(Step& step, const ev::Stuck& event);
  void on(Step& step, const ev::Followed& event);
  void on(Step& step, const ev::NotFollowed& event);
  void on(Step& step, const ev::Ready& event);
  void on(Step& step, const ev::Alive& event);
  void on(Step& step, const ev::Judged& event);
  void on(Step& step, const ev::Delivered& event);
  void on(Step& step, const ev::HttpDone& event);
  void on(Step& step, const ev::Asked& event);
  void on(Step& step, const ev::ClientGone& event);
  void on(Step& step, ev::Loaded& event);
  void on(Step& step, const ev::Rejected& event);
  void on(Step& step, const ev::Signalled& event);

  // supervisor_boot.cc
  void restore(Step& step, const ev::Boot& boot);
  void adopt(Step& step, std::vector<LiveRun>& runs);

  // supervisor_ask.cc: what people ask for
  void query(Step& step, const Request& request, const std::vector<std::uint32_t>& chosen);
  void probe(Step& step, const Request& request, const std::vector<std::uint32_t>& chosen);
  void order(Step& step, const Request& request, const std::vector<std::uint32_t>& chosen);
  Orders::Goal carry_out(Step& step, const Request& request, Watch& watch);
  void act(Step& step, const Request& request, Watch& watch, Orders::Goal& goal);
  void ask_load(Step& step, const Request& request);

  // supervisor_load.cc: a new configuration
  std::vector<PlanLine> plan(const Config& config, const Request& request) const;
  std::vector<std::uint32_t> missing(const std::set<std::string>& named,
                                     const Request& request) const;
  void retain(const std::set<std::string>& named, const std::vector<std::uint32_t>& removed);
  void apply(Step& step, ev::Loaded& loaded, const Request& request);
  void shut_down(Step& step, int code);
  void subscribe(Step& step);

  void forget_removed(Step& step, const std::string& watch);
  Watch* owner(RunId run);
  void touch(std::uint32_t number) { touched_.push_back(number); }
  void note_down(Step& step, Watch& watch);
  void meet_deadlines(Step& step);
  void settle(Step& step);
  bool bury_stray(Step& step, RunId run);
  void deliver(Step& step, const std::vector<KvNews>& news);
  std::uint64_t salt_of(const std::string& watch) const;

  Config config_;                   ///< Without its watches: those live in the roster.
  std::set<std::string> retained_;  ///< Names of watches in force that no file names any more.
  std::string host_;
  HashKey key_;
  RunIds ids_;
  Random random_;
  Roster roster_;
  Orders orders_;
  Contacts contacts_;
  std::unique_ptr<KvFeed> feed_;
  std::vector<std::uint32_t> touched_;  ///< In this turn; some perhaps twice.
  std::set<std::string> removing_;      ///< Removed by an operator, and not gone yet.
  std::set<std::string> removed_;       ///< Removed by an operator although a file names them.
  struct Stray {
    std::string watch;  ///< Whose main run it is; empty: no main run.
    bool stuck = false;
  };
  std::map<RunId, Stray> strays_;  ///< Runs of watches that are no more: stopped, then forgotten.
  std::uint64_t next_tag_ = 1;
  std::uint64_t next_ticket_ = 1;
  std::map<std::uint64_t, Request> loads_;
  std::optional<int> closing_;  ///< supvd ends with this code when all is stopped.
  std::optional<Time> hurry_;   ///< shutdown_timeout: then everything is killed.
  bool done_ = false;
};

/// The daemon: the same loop in production and in the simulator.
void run(Supervisor& supervisor, World& world);

}  // namespace supv
