#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brain/clusters.h"
#include "brain/commands.h"
#include "brain/condition_hosts.h"
#include "brain/config_files.h"
#include "brain/control.h"
#include "brain/deliveries.h"
#include "brain/event_file.h"
#include "brain/host_line.h"
#include "brain/http_calls.h"
#include "brain/init_system.h"
#include "brain/log.h"
#include "brain/log_pipes.h"
#include "brain/notify.h"
#include "brain/peers.h"
#include "brain/plugin_hosts.h"
#include "brain/plugin_studies.h"
#include "brain/probes.h"
#include "brain/reactor.h"
#include "brain/role_lines.h"
#include "brain/roles.h"
#include "brain/run_brain.h"
#include "brain/runs.h"
#include "brain/state_file.h"
#include "brain/trees.h"
#include "brain/try_outs.h"
#include "brain/usage.h"
#include "core/world.h"
#include "keeper/channel.h"

namespace supv {

/// The keeper is gone: without it a brain can do nothing, and another supvd may be starting.
class KeeperGone : public std::exception {
 public:
  const char* what() const noexcept override { return "the keeper is gone"; }
};

/// A new supvd has no configuration to begin with; what() is the rendered diagnostics.
class NoConfiguration : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The real World. Its members are the adapters; this turns effects into their calls and what they
/// hear into events. The only place where their failures are caught is perform().
class LinuxWorld final : public World, private ControlWorld {
 public:
  /// `log` outlives the world. Throws std::system_error or std::runtime_error.
  LinuxWorld(const BrainOptions& options, Log& log);

  /// Learns what runs, loads the configuration, opens the control socket; the first event is then
  /// ev::Boot. Throws KeeperGone or NoConfiguration.
  void boot();

  Moment now() const override { return now_; }
  /// Throws KeeperGone.
  std::vector<Event> wait(std::optional<Time> wake) override;
  void perform(const Effect& effect) override;

  /// The core is done: lets clients have their answers, ends the roles, then supvd itself, as the
  /// last fx::Finish said.
  void close_down();
  /// supvd ends with `code`; no configuration could be read, nothing runs.
  void give_up(int code);

 private:
  // linux_world_boot.cc
  std::vector<LiveRun> ask_keeper();
  void give_back_memory();
  void configure(ev::Boot& boot);
  void start_dev();
  void resume_pipes(const Config& config);
  void take_over(const Config& config);
  void open_control();

  // linux_world.cc
  void say(Event event) { inbox_.push_back(std::move(event)); }
  void judged(ev::Judged news);
  bool turn(std::optional<Time> limit);
  bool goes_on(std::optional<Time> wake);
  std::optional<Time> deadline() const;
  void refresh_now();
  void read_keeper(std::uint32_t events);
  void hear(FromKeeper& news);
  void hear_signal(int signal);
  void ignore_news();

  // linux_world_perform.cc: one for each effect
  void act(const fx::Spawn& spawn);
  void act(const fx::Adopt& adopt) { runs_.adopt(adopt); }
  void act(const fx::Deliver& deliver);
  void act(const fx::Stop& stop) { runs_.stop(stop); }
  void act(const fx::Signal& signal) { runs_.signal(signal); }
  void act(const fx::Follow& follow) { runs_.follow(follow); }
  void act(const fx::Amend& amend) { runs_.amend(amend); }
  void act(const fx::Forget& forget) { runs_.forget(forget.run); }
  void act(const fx::Arm& arm) { hosts_.arm(arm); }
  void act(const fx::Disarm& disarm) { hosts_.disarm(disarm); }
  void act(const fx::Poll& poll) { hosts_.poll(poll); }
  void act(const fx::TellEnd& end) { hosts_.tell_end(end); }
  void act(const fx::Probe& probe);
  void act(const fx::Http& http) { clusters_.ask(http); }
  void act(const fx::Remember& memory);
  void act(const fx::Reply& reply);
  void act(const fx::TryOut& asked) { try_outs_.begin(asked); }
  void act(const fx::Note& note);
  void act(const fx::Load& load);
  void go_on_loading(const fx::Load& load, const std::shared_ptr<PluginStudies>& studies);
  void act(const fx::Applied& applied);
  void act(const fx::Finish& finish) { finish_ = finish; }
  void failed(const Effect& effect, const std::string& step, int error, const std::string& text);
  void commit(std::uint64_t ticket);
  void forgotten(RunId run);
  void drop_unused_pipes();

  // linux_world_control.cc: what the control socket asks
  Time clock() override;
  void asked(const Request& request) override;
  void client_gone(ClientId client) override;
  protocol::Supvd supvd() override;
  protocol::Used used(const WatchReport& watch) override;
  protocol::LogFiles log_files(const WatchReport& watch) override;
  std::vector<std::string> history(
      std::size_t count, const std::function<bool(std::string_view watch)>& wanted) override;
  void kv(ClientId client, std::uint64_t tag, const protocol::Call& call) override;
  void test_contact(ClientId client, std::uint64_t tag, const std::string& name);

  // What each adapter may call.
  Notify::Ears notify_ears();
  Roles::Ears role_ears();
  RoleLines::Ears line_ears();
  Runs::Ears run_ears();
  Clusters::Ears cluster_ears();
  CourierChannel* courier();
  ConditionHosts::Surroundings condition_surroundings();
  HostLine::Surroundings host_surroundings();
  PluginHosts::Surroundings plugin_surroundings();
  std::vector<std::pair<std::string, std::string>> places(const std::string& watch,
                                                          const ProcessSpec& process);

  const BrainOptions options_;
  const Environment own_;
  Log& log_;
  Moment now_;
  std::vector<Event> inbox_;
  std::optional<fx::Finish> finish_;
  bool keeper_gone_ = false;
  bool booted_ = false;  ///< The core has been handed ev::Boot ...
  bool begun_ = false;   ///< ... and what the core made of it was performed.
  bool said_ready_ = false;
  int going_on_ = 0;         ///< Turns since the world was looked at.
  std::uint64_t deeds_ = 0;  ///< Effects performed since memory was last given back.
  std::optional<Time> give_back_at_;
  std::string dev_address_;
  std::vector<std::string> retained_;  ///< Watches in force that no file names any more.
  std::vector<std::string> leaving_;   ///< Watches out of the configuration whose FIFOs remain.

  Reactor reactor_;
  Channel keeper_;
  bool keeper_writing_ = false;
  StateFile durable_;
  StateFile volatile_;
  EventFile event_file_;
  ConfigFiles config_files_;
  InitSystem init_;
  Notify notify_;
  LogPipes pipes_;
  RoleLines lines_;
  Roles roles_;
  Runs runs_;
  Trees trees_;
  Usage usage_;
  Commands commands_;
  HttpCalls http_calls_;
  Deliveries deliveries_;
  HostLine host_line_;
  PluginHosts plugin_hosts_;
  ConditionHosts hosts_;
  TryOuts try_outs_;
  Probes probes_;
  Clusters clusters_;
  Peers peers_;
  std::unique_ptr<Control> control_;
  Watching keeper_watching_;
};

/// Names this life of supvd: the keeper's process, whatever its brain. Also when it began, in
/// seconds since the machine's boot.
struct KeeperLife {
  std::string instance;
  double began_s = 0;
};
KeeperLife keeper_life(int keeper_pid);

}  // namespace supv
