#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/supervisor.h"
#include "keeper/keeper.h"
#include "tests/sim/computer.h"
#include "tests/sim/fake_courier.h"
#include "tests/sim/line.h"
#include "tests/sim/operator.h"
#include "tests/sim/oracles.h"
#include "tests/sim/sim_kernel.h"

namespace supv::sim {

/// The world of one seed: real keeper and real core over a computer, a Consul, an operator and
/// fates that are all made up. To the core it is a World like any other.
class SimWorld final : public World {
 public:
  SimWorld(std::uint64_t seed, bool shown);

  /// The whole history. Throws Violated.
  void live();
  std::uint64_t hash() const { return sim_.trace.hash(); }

  Moment now() const override { return sim_.agenda.moment(); }
  std::vector<Event> wait(std::optional<Time> wake) override;
  void perform(const Effect& effect) override;

 private:
  struct Over {};

  // sim_world.cc: time, and the life of brains
  void advance(std::optional<Time> wake);
  std::vector<Event> boot();
  void brain_gone();
  void calm_down();
  void flush_disk();
  void describe_files();
  void die_perhaps();
  void say(Event event) { inbox_.push_back(std::move(event)); }
  void plan_mishaps();

  // sim_supvd.cc: the life of supvd, and the line between keeper and brain
  void in_keeper(const std::function<void(Keeper&)>& deed);
  void start_supvd();
  void keeper_died();
  void supvd_ended();
  void reboot();
  void pump_to_keeper();
  void pump_to_brain();
  void hear(const Packet& packet);
  void hear_news(const wire::News& news);
  Computer::Ears computer_ears();
  SimKernel::Ears kernel_ears();
  Operator::Ears operator_ears();
  void send(Packet packet);
  void read_mail();

  // sim_effects.cc: one for each effect
  void act(const fx::Spawn& spawn);
  void act(const fx::Stop& stop);
  void act(const fx::Signal& signal);
  void act(const fx::Follow& follow);
  void act(const fx::Amend& amend);
  void act(const fx::Forget& forget);
  void act(const fx::Adopt& adopt);
  void act(const fx::Deliver& deliver);
  void act(const fx::TryOut& asked);
  void act(const fx::Arm& arm);
  void act(const fx::Disarm& disarm);
  void act(const fx::Poll& poll);
  void act(const fx::TellEnd& end);
  void act(const fx::Probe& probe);
  void act(const fx::Http& http);
  void act(const fx::Remember& memory);
  void act(const fx::Reply& reply);
  void act(const fx::Note& note);
  void act(const fx::Load& load);
  void act(const fx::Applied& applied);
  void act(const fx::Finish& finish);
  void judge_later(RunId run, std::uint32_t condition, bool certain);
  void remember_stale(const Event& event);
  void tell_old_news();

  Sim sim_;
  Line line_;
  Computer computer_;
  std::vector<Plan> plans_{Plan{}};
  FakeConsul consul_;
  FakeCourier courier_;
  Oracles oracles_;
  Operator operator_;

  // The keeper of now.
  std::unique_ptr<SimKernel> kernel_;
  std::unique_ptr<Keeper> keeper_;
  std::uint64_t keepers_ = 0;

  // The brain of now.
  std::uint64_t brain_ = 0;  ///< Its process; 0: none.
  std::uint64_t brain_line_ = 0;
  const Supervisor* core_ = nullptr;
  std::deque<Event> inbox_;
  std::vector<LiveRun> dump_;
  bool dumped_ = false;
  bool booted_ = false;
  bool begun_ = false;
  Time frozen_until_{};
  std::map<RunId, std::uint64_t> armed_;
  std::uint64_t arms_ = 0;
  Time idle_at_{};
  int idle_turns_ = 0;
  std::string missing_asked_;                     ///< By the load it was asked for last.
  std::map<std::uint64_t, std::string> missing_;  ///< What each load does with missing watches.

  // What outlives brains: files.
  Config files_;                       ///< As an operator wrote them.
  std::optional<Config> kept_;         ///< In force, for the brains of this keeper.
  std::vector<std::string> retained_;  ///< Watches of it that no file names any more.
  std::map<std::uint64_t, Config> loaded_;
  std::map<std::string, std::string> durable_, synced_, volatile_;
  std::set<RunId> sockets_;                  ///< Runs whose notify socket somebody holds.
  std::map<RunId, std::vector<bool>> mail_;  ///< Not read yet: READY=1, or a keep-alive.
  std::deque<Event> old_news_;
  std::set<RunId> forgotten_;
  Time calm_at_{};
  Time end_at_{};
};

/// One word or two about an event, for traces.
std::string describe_event(const Event& event);

}  // namespace supv::sim
