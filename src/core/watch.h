#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/change_trial.h"
#include "core/memo.h"
#include "core/messages.h"
#include "core/random.h"
#include "core/rare.h"
#include "core/run_ids.h"
#include "core/trials.h"

namespace supv {

/// One turn of the core: the instant, and where the deeds go.
struct Step {
  Moment now;
  std::vector<Effect>& effects;
  RunIds& ids;
  Random& random;
  std::vector<Notice> notices{};  ///< What contacts are to be told.

  template <typename Deed>
  void emit(Deed deed) {
    effects.emplace_back(std::move(deed));
  }
};

/// What a watch is doing. `restarting` is stopping with After::respawn; `unmonitored` is a
/// separate question.
enum class State : std::uint8_t {
  stopped,
  starting,
  up,
  stopping,
  backoff,
  failed,
  exited,
  stuck,
};

/// Why something happens, in words and by whom.
struct Cause {
  std::string action;  ///< start | stop | restart | reload | monitor | unmonitor
  std::string by;      ///< operator | condition | exit | watchdog | flapping | load | supvd
  std::string reason;
};

/// The life of one watch: what runs, what should, and what follows. A state machine without clock,
/// I/O or failure: every input is a method, every deed an effect. Two variables carry it: `state`
/// (what is) and `after` (what follows the end of the current run).
class Watch {
 public:
  Watch(std::uint32_t number, std::shared_ptr<const WatchSpec> spec, std::uint64_t salt);

  // --- what an operator, a load or supvd itself asks for ---------------------------------------
  /// Up, monitored, at once: clears back-off and flapping. Nothing when it is up.
  void start(Step& step, const Cause& cause);
  /// Down and left alone.
  void stop(Step& step, const Cause& cause);
  /// A new run, whatever is now.
  void restart(Step& step, const Cause& cause);
  /// False (and why) when there is nothing to reload or no way to.
  bool reload(Step& step, const Cause& cause, std::string& why);
  void monitor(Step& step, const Cause& cause);
  void unmonitor(Step& step, const Cause& cause);
  void hold(Step& step, const HoldReport& hold);
  void release(Step& step);
  /// Ends what runs without touching what is wanted; `now` cuts the ladder short.
  void shut_down(Step& step, bool now);
  /// Stops, then reports removed().
  void remove(Step& step, const Cause& cause);
  /// remove() is under way, and the configuration names it again.
  bool leaving() const { return after_ == After::remove && !at_rest(); }
  void come_back(Step& step);
  /// A new definition. Restarts the process when its shape changed and `may_restart`.
  void redefine(Step& step, std::shared_ptr<const WatchSpec> spec, bool may_restart);

  // --- a new brain ------------------------------------------------------------------------------
  /// Takes what remember() wrote. Before adopt() and boot().
  void restore(std::string_view text, Moment now);
  /// supvd itself was started: what counts again is `autostart`, unless an operator stopped it.
  /// After restore(), before adopt().
  void begin_anew();
  /// Takes a run that lives, or ended while no brain was there.
  void adopt(Step& step, const LiveRun& live, const Memo& memo);
  /// Takes note of how the run ended that the adopted one replaced.
  void on_replaced(const Step& step, const LiveRun& live);
  /// A run of an earlier definition is still being ended: what this one starts comes after it.
  /// Before boot().
  void inherit(Step& step, RunId run, bool stuck);
  /// Everything is known: starts what should run. `fresh`: supvd itself was started.
  void boot(Step& step, bool fresh);

  // --- news of its runs
  // ---------------------------------------------------------------------------
  void on_launched(Step& step, const ev::Launched& news);
  void on_start_failed(Step& step, const ev::StartFailed& news);
  void on_exited(Step& step, const ev::Exited& news);
  void on_gone(Step& step, const ev::Gone& news);
  void on_stuck(Step& step, const ev::Stuck& news);
  void on_followed(Step& step, const ev::Followed& news);
  void on_not_followed(Step& step, const ev::NotFollowed& news);
  void on_ready(Step& step, RunId run);
  void on_alive(Step& step, const ev::Alive& news);
  void on_judged(Step& step, const ev::Judged& news);
  void on_sample(Step& step, std::uint32_t condition, const Sample& sample);
  void on_trouble(std::uint32_t condition, const std::string& why);
  /// Some deadline may have come.
  void on_deadline(Step& step);
  std::optional<Time> deadline() const;

  // --- questions --------------------------------------------------------------------------------
  const WatchSpec& spec() const { return *spec_; }
  const std::shared_ptr<const WatchSpec>& shared_spec() const { return spec_; }
  std::uint32_t number() const { return number_; }
  State state() const { return state_; }
  bool monitored() const { return monitored_; }
  bool wanted() const { return wanted_; }
  /// An operator's earlier word keeps it from being started.
  bool kept_down() const { return ordered_ && !wanted_; }
  bool held() const { return static_cast<bool>(hold_); }
  RunId run() const { return run_; }
  /// The last run that ended.
  RunId ended() const { return ended_; }
  int pid() const { return pid_; }
  bool removed() const { return removed_; }
  bool at_rest() const { return run_ == RunId::none && errand_run_ == RunId::none; }
  /// Its first start has been tried since supvd began (or it is not to be started).
  bool launched_once() const { return launched_once_; }
  /// That first try failed before exec.
  bool launch_failed() const { return launch_failed_; }
  /// Why the last start or run failed; empty when it did not.
  const std::string& failure() const { return failure_; }
  /// An essential watch that has ended for good: what supvd exits with.
  std::optional<int> verdict_of_essential() const;
  std::uint64_t restarts() const { return restarts_; }
  /// How often a reload has been completed.
  std::uint64_t reloads() const { return reloads_; }
  bool reload_failed() const { return reload_failed_; }
  /// The state in the words of the contract.
  std::string shown_state() const;
  WatchReport report(Moment now) const;
  /// What is kept about it across brains and reboots; text of restore().
  std::string remember() const;
  /// True once after remember() would say something new.
  bool take_dirty() { return std::exchange(dirty_, false); }
  /// An operator's intent changed: the next remember() must reach the disk.
  bool take_intent() { return std::exchange(intent_, false); }
  /// A digest to keep: condition key and sample text, for the durable store.
  std::vector<Memory> take_samples();
  std::vector<Memory> all_samples() const;
  static std::string sample_key(const std::string& watch, std::uint32_t condition_key);
  /// Takes what take_samples() gave.
  void restore_sample(std::uint32_t condition_key, const Sample& sample);
  /// How long an action may take by this watch's own limits.
  Duration expected(bool with_stop) const;

 private:
  /// How long a replaced daemon may take to rewrite its pid file.
  static constexpr Duration kFollowTime{1000};

  // watch_start.cc, watch_stop.cc, watch_errand.cc: the state machine
  void enter(Step& step, State state, const Cause& cause);
  void begin_start(Step& step, const Cause& cause);
  void spawn_main(Step& step);
  void spawn_errand(Step& step, Purpose purpose, const Command& command, Duration limit);
  void spawn_loose(Step& step, const Command& command);
  void begin_stop(Step& step, const Cause& cause, After after);
  void continue_stop(Step& step);
  void ladder(Step& step);
  void go_on_with_start(Step& step);
  void begin_run(Step& step);
  bool take_over_other(Step& step);
  void taken_over(Step& step);
  void not_taken_over(Step& step, const std::string& why);
  void become_up(Step& step);
  void renewed(Step& step);
  void settle(Step& step);
  void fail(Step& step);
  void next_try(Step& step, const Cause& cause);
  void task_ended(Step& step, const Cause& cause);
  void end_late_task(Step& step);
  Duration back_off(Step& step);
  bool flaps(Step& step);
  void drop_errand(const Step& step);
  void errand_ended(Step& step, bool good, const std::string& how);
  void errand_failed_start(Step& step, const std::string& how);
  void reloaded(Step& step, bool good, const std::string& how);
  void bury(Step& step, RunId run);
  void follow(Step& step);
  void await_ready(Step& step, Time since);
  void take_over(Step& step, const LiveRun& live);
  void boot_live(Step& step);
  void note_exit(const Step& step, const ExitStatus& status);
  void on_tick(Step& step);
  void on_due(Step& step);
  void end_by_fault(Step& step, const char* by, const std::string& why);
  void order(bool wanted, const Cause& cause);
  bool outdated() const;
  const Command* hook(std::optional<Command> HooksSpec::*which) const;

  // watch_arm.cc: which conditions are judged when
  std::uint8_t phase() const;
  void arm(Step& step);
  void disarm(Step& step);
  void keep_steady(Step& step);
  void poll(Step& step);
  bool resting() const;
  bool gated() const;

  // watch_judge.cc: what follows from a verdict
  void decide(Step& step, std::uint32_t condition, bool of_end);
  bool may_act(Moment now) const;
  bool can(const ConditionSpec& condition, Action action) const;
  void act(Step& step, std::uint32_t condition, Action action, const std::string& reason);
  void act_restart(Step& step, const ConditionSpec& condition, const std::string& reason);

  // watch_change.cc: conditions with a timeline
  void judge_changes(Step& step);
  void begin_changes(std::optional<Action> only, std::uint8_t phases);
  bool lasting(const ConditionSpec& condition) const;
  void amend(Step& step);
  Memo memo(Purpose purpose) const;
  ChangeTrial* change(std::uint32_t condition);
  void make_trials();

  // watch_tell.cc: what contacts are told
  void tell(Step& step, Notice::Kind kind, const Rare<NotifySpec>& to, std::string source,
            std::string action, std::string text, bool lasts = false) const;
  void tell_state(Step& step, const Cause& cause) const;
  void tell_flapping(Step& step, const std::string& text) const;
  void count_start(Step& step);

  void set_due(Moment now, Duration delay);
  /// What makes it a task; null for a watch that keeps a process.
  const TaskSpec* task() const;
  /// How long its command may take, if that is limited.
  std::optional<Duration> task_limit() const;

  std::optional<PendingReport> pending(Moment now) const;
  std::string health() const;

  std::uint32_t number_;
  std::shared_ptr<const WatchSpec> spec_;
  std::uint64_t salt_;

  State state_ = State::stopped;
  After after_ = After::fail;
  bool wanted_ = false;  ///< desired up
  bool monitored_ = true;
  bool by_condition_ = false;  ///< It rests because a condition said so: start_if may start it.
  bool closing_ = false;       ///< supvd ends: nothing is started any more.
  bool removed_ = false;
  bool stay_ = false;  ///< Loaded with --no-restart: the difference waits.
  bool launched_once_ = false;
  bool launch_failed_ = false;
  bool ready_ = false;
  bool laddered_ = false;  ///< fx::Stop has been sent for the current run.
  bool replaces_ = false;  ///< The next start replaces a run.
  /// The next start is the first since supvd began, or follows an operator's or a condition's word:
  /// `init` transitions and another supervisor's process come before it.
  bool anew_ = false;
  bool following_ = false;  ///< Waits for the pid file to name a process.
  bool dirty_ = false;
  bool intent_ = false;
  bool reload_failed_ = false;
  bool samples_dirty_ = false;
  bool failed_start_ = false;  ///< The run that is ending never came up.
  bool ordered_ = false;       ///< `wanted_` is an operator's word.
  bool out_ = false;           ///< Flapping: ends in `failed`.
  bool renewing_ = false;      ///< The `restart` command is at work.
  bool load_waits_ = false;    ///< A load wanted a restart while the watch was held.
  bool missed_ = false;        ///< The run went on while supvd was away.
  bool restored_ = false;      ///< An earlier life left a record.
  /// `failed` because it flapped: no condition starts it, only its retry, an operator or a load.
  bool flapped_ = false;
  bool gate_ = false;      ///< A start that waits for an `init` transition.
  bool adopting_ = false;  ///< The run is another supervisor's process, being taken over.

  RunId run_ = RunId::none;
  /// The number under which the conditions of the present phase are armed: run_, or an idle one.
  RunId armed_ = RunId::none;
  RunId steady_ = RunId::none;          ///< The same for those that are always judged ...
  RunId steady_subject_ = RunId::none;  ///< ... and whose process they ask about.
  int pid_ = 0;
  Moment started_;
  std::optional<Time> due_;        ///< Start time-out, stop command's time, back-off, retry.
  std::int64_t due_after_ms_ = 0;  ///< How long after `since` the back-off ends.
  std::optional<Time> retry_due_;  ///< Flapping by a condition: when it is tried again.
  std::optional<Time> tick_;       ///< Next look at readiness or pid file.
  std::optional<Time> alive_by_;
  Time grace_until_{};
  Digest running_as_;

  RunId errand_run_ = RunId::none;
  Purpose errand_ = Purpose::main;
  std::optional<Time> errand_due_;
  std::vector<std::pair<RunId, Time>> loose_;

  RunId ended_ = RunId::none;  ///< The last run: exit conditions answer about it.
  std::optional<Time> hold_until_;
  Cause cause_;                    ///< Why the current transition happens.
  const char* fault_by_ = "exit";  ///< exit | watchdog: who found the current run at fault.
  std::string failure_;
  std::uint32_t failures_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t reloads_ = 0;
  Rare<HoldReport> hold_;
  Rare<LastExit> last_exit_;
  Rare<LastChange> last_change_;
  std::vector<Time> falls_;  ///< flapping: the last `times` faults
  std::vector<Time> retries_;
  std::int64_t since_wall_ms_ = 0;

  Rare<std::string> reason_;  ///< task: what had it run, for the repetitions too.
  /// An exit condition that answered about the end of a run whose tree is not gone yet.
  std::optional<std::uint32_t> end_verdict_;
  std::vector<Time> starts_;  ///< notify_when_flapping: the last ones
  Trials trials_;
  std::vector<std::unique_ptr<ChangeTrial>> changes_;  ///< By condition; null for the others.
};

}  // namespace supv
