#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "core/report.h"
#include "core/spec.h"

/// Everything that enters the core and everything that leaves it.
namespace supv {

/// Monotonic time; comes from the world, the core has no clock.
struct MonotonicClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using Time = MonotonicClock::time_point;

/// One instant on both clocks. Decisions use `time`; `wall_ms` (Unix) is only shown and stored.
struct Moment {
  Time time{};
  std::int64_t wall_ms = 0;
};

/// One process of a watch (or one of its commands); see wire::Run for its parts.
enum class RunId : std::uint64_t { none = 0 };
/// A connection to the control socket.
enum class ClientId : std::uint64_t { none = 0 };

/// How a main process ended.
struct ExitStatus {
  enum class How : std::uint8_t { code, signal, unknown };
  How how = How::unknown;
  int value = 0;
  bool core = false;
  bool operator==(const ExitStatus&) const = default;
};
/// "exit 3", "killed by SEGV (core dumped)", "ended, status unknown".
std::string describe(const ExitStatus& status);

/// What a condition says.
enum class Verdict : std::uint8_t { no, yes, unknown };

/// A run that the keeper knows when a brain starts.
struct LiveRun {
  enum class Phase : std::uint8_t { launching, running, stopping, lingering, stuck, gone, failed };
  RunId run = RunId::none;
  Phase phase = Phase::running;
  int pid = 0;
  std::optional<ExitStatus> status;
  std::string step;  ///< failed: which step
  int error = 0;     ///< failed: errno
  std::uint32_t after = 0;
  bool adopted = false;
  Moment started;
  std::string memo;
};

/// What a Consul agent answered, or that it did not.
struct HttpReply {
  int status = 0;            ///< 0: no answer; `error` says why.
  std::string error;         ///< One line without secrets.
  std::uint64_t index = 0;   ///< X-Consul-Index
  bool known_leader = true;  ///< X-Consul-KnownLeader; true when the header is absent.
  std::uint64_t retry_after_s = 0;
  std::string body;
};

/// A piece of what the core asked the world to keep (fx::Remember), handed back at boot.
struct Memory {
  std::string key;
  std::string text;
};

/// One thing that contacts are told.
struct Notice {
  enum class Kind : std::uint8_t {
    fired,      ///< A condition holds.
    recovered,  ///< A condition that was told of holds no longer.
    state,      ///< A watch changed its state.
    flapping,   ///< A watch is flapping, or has been given up.
  };
  Kind kind = Kind::state;
  std::string watch;
  std::string
      source;  ///< The condition's id; what is told again of the same source is a repetition.
  std::string state;  ///< The watch's state by now, in the words of the contract.
  std::string
      action;  ///< What is done about it: start | restart | stop | reload | notify ...; or empty.
  std::string text;  ///< One line.
  NotifySpec to;
  std::int64_t wall_ms = 0;
  /// fired: it goes on until a recovered notice says otherwise, so firing again is a repetition.
  bool lasts = false;
};

/// What an operator (or a script) asks for.
struct Request {
  enum class Verb : std::uint8_t {
    // queries
    status,
    show,
    why,
    wait,
    plan,
    events,
    // actions
    start,
    stop,
    restart,
    reload,
    signal,
    monitor,
    unmonitor,
    hold,
    release,
    load,
    quit,
    terminate,
    remove,
    probe,  ///< A query; the last, because orders are kept by number.
  };
  static constexpr Verb kLastVerb = Verb::probe;
  ClientId client = ClientId::none;
  std::uint64_t tag = 0;  ///< Names the question on its connection.
  Verb verb = Verb::status;
  std::string action_id;  ///< Client-made; empty for queries.
  std::vector<std::string> select;
  std::vector<std::string> files;  ///< `-f FILE`, load, plan.
  bool all = false;
  int signal = 0;
  /// wait: up | ready | stopped | gone; and for supvd's own start: launched (its first start has
  /// been tried) | settled (up, or the first tries have failed).
  std::string until;
  Duration hold_for{0};   ///< hold: 0 for ever
  std::string condition;  ///< probe: the id, or the name; empty: all.
  std::string reason;
  std::string by;  ///< The peer's user name.
  bool force = false;
  bool no_restart = false;
  std::string missing;  ///< load: stop | unmonitor | keep
};

/// News.
namespace ev {

/// Time may have passed; deadlines are looked at.
struct Tick {};
/// The first event a core sees.
struct Boot {
  Config config;
  std::vector<std::string> retained;  ///< Watches of `config` that no file names; see fx::Applied.
  std::vector<LiveRun> runs;
  std::vector<Memory> memory;
  HashKey key;
  std::string host;  ///< A stable name of this host, for splay.
  std::uint64_t seed = 0;
  bool fresh = true;  ///< supvd itself was started (not only its brain).
};
/// exec succeeded.
struct Launched {
  RunId run{};
  int pid = 0;
  Moment started;
};
/// The process never reached exec; nothing is left of it.
struct StartFailed {
  RunId run{};
  std::string step;
  int error = 0;
  std::string text;  ///< In words, when errno does not say it (which file, which user); or empty.
};
/// The main process has ended. `left` processes of its tree are still there (Gone follows when
/// they are not; for a run with a pid file they are left alone until told).
struct Exited {
  RunId run{};
  ExitStatus status;
  std::uint32_t left = 0;
};
/// Nothing is left of the run's tree.
struct Gone {
  RunId run{};
  ExitStatus status;
};
/// KILL was sent long ago and something is still there.
struct Stuck {
  RunId run{};
  int pid = 0;
  std::uint32_t left = 0;
};
/// Tracking moved to `pid` (fx::Follow succeeded).
struct Followed {
  RunId run{};
  int pid = 0;
};
/// The pid file is missing (pid 0), or names a process that is not of the run's tree.
struct NotFollowed {
  RunId run{};
  int pid = 0;
};
/// The run says it is ready (sd_notify), or a probe found it so.
struct Ready {
  RunId run{};
};
/// The run's watchdog keep-alive; `trigger`: it asks to be treated as if it had missed one.
struct Alive {
  RunId run{};
  bool trigger = false;
};
/// One condition's answer. `condition` is its index in the spec; `value` what status shows.
struct Judged {
  RunId run{};
  std::uint32_t condition = 0;
  Verdict verdict = Verdict::unknown;
  std::string reason;
  std::string metrics = {};  ///< What was measured, as monitoring plugins write it; any bytes.
};
/// An answer to fx::Deliver.
struct Delivered {
  std::uint64_t tag = 0;
  bool good = false;
  bool again = true;  ///< A failure that another try may mend.
  std::string error;  ///< One line without secrets.
};
/// An answer to fx::Http.
struct HttpDone {
  std::uint64_t tag = 0;
  HttpReply reply;
};
struct Asked {
  Request request;
};
/// A client has gone; its waits end, its actions do not.
struct ClientGone {
  ClientId client{};
};
/// The answer to fx::Load: exactly one of the two.
struct Loaded {
  std::uint64_t ticket = 0;
  Config config;
};
struct Rejected {
  std::uint64_t ticket = 0;
  std::string diagnostics;
};
/// supvd got a signal (TERM, INT, HUP; the rest is the world's).
struct Signalled {
  int signal = 0;
};

}  // namespace ev

using Event =
    std::variant<ev::Tick, ev::Boot, ev::Launched, ev::StartFailed, ev::Exited, ev::Gone, ev::Stuck,
                 ev::Followed, ev::NotFollowed, ev::Ready, ev::Alive, ev::Judged, ev::Delivered,
                 ev::HttpDone, ev::Asked, ev::ClientGone, ev::Loaded, ev::Rejected, ev::Signalled>;

/// Deeds. None of them fails: what goes wrong comes back as an event.
namespace fx {

/// Starts `command` of watch `watch` as `run`. Answers Launched or StartFailed.
struct Spawn {
  RunId run{};
  RunId host = RunId::none;  ///< Not none: joins that run's tree (hooks, stop and reload commands).
  std::string watch;
  Command command;
  std::shared_ptr<const ProcessSpec> process;
  std::vector<LadderStep> ladder;
  bool notify = false;   ///< Give it a notify socket.
  Duration watchdog{0};  ///< WATCHDOG_USEC, when not 0.
  /// Removed first, where it is what it is said to be: a pid file that names no live process, a
  /// socket that nobody listens on. Relative to the process's `dir`; empty: nothing.
  std::string stale_pid_file;
  std::string stale_socket;
  /// Further variables of the environment, above all others.
  std::vector<std::pair<std::string, std::string>> env;
  std::string memo;
};
/// Takes over the process that `pid_file` names, if it is what the file was written for: of the
/// user that `process` says, older than the file, and nobody's run. Answers Launched, or
/// StartFailed with the step "adopt".
struct Adopt {
  RunId run{};
  std::string watch;
  std::string pid_file;
  std::shared_ptr<const ProcessSpec> process;
  std::vector<LadderStep> ladder;
  std::string memo;
};
/// Hands notices to one contact: one by itself, several as a digest. Answers Delivered.
struct Deliver {
  std::uint64_t tag = 0;
  std::string contact;
  std::vector<Notice> notices;  ///< At least one.
};
/// Runs the ladder, then kills the tree: Exited, then Gone. `after` is handed back at the next
/// boot. Sent twice it changes `after`; `now` goes straight to KILL.
struct Stop {
  RunId run{};
  std::uint32_t after = 0;
  bool now = false;
};
struct Signal {
  RunId run{};
  int signal = 0;
};
/// Reads the pid file and moves tracking: Followed or NotFollowed. `process` says what a relative
/// path is relative to (dir, chroot) and whose file it is; null: `path` is absolute.
struct Follow {
  RunId run{};
  std::string path;
  std::shared_ptr<const ProcessSpec> process;
};
/// Replaces what is recorded with a run.
struct Amend {
  RunId run{};
  std::string memo;
  std::vector<LadderStep> ladder;
};
/// The end of this run has been taken note of.
struct Forget {
  RunId run{};
};
/// Makes polled and exit conditions, known by the number `run` until Disarm destroys them. Sent
/// again with a number in use it only changes `subject`.
struct Arm {
  RunId run{};
  std::string watch;
  std::shared_ptr<const WatchSpec> spec;
  std::vector<std::uint32_t> conditions;  ///< Which of the spec's; indices.
  RunId subject = RunId::none;            ///< Whose process they ask about; none: there is none.
};
struct Disarm {
  RunId run{};
};
/// Asks one condition; answers Judged.
struct Poll {
  RunId run{};
  std::uint32_t condition = 0;
};
/// Tells an exit condition that its run has ended; answers Judged.
struct TellEnd {
  RunId run{};
  std::uint32_t condition = 0;
  ExitStatus status;
};
/// Looks once whether the run is ready (tcp, file); answers Ready, or nothing.
struct Probe {
  RunId run{};
  ReadySpec ready;
  std::string dir;
};
/// GET `path_and_query` from a cluster; answers HttpDone. A request with the same `reuse` that an
/// earlier brain left under way is taken over instead of opening a second connection.
struct Http {
  std::uint64_t tag = 0;
  std::string cluster;
  std::string path_and_query;
  Duration deadline{10000};
  std::string reuse;
  std::string datacenter;   ///< Empty: the cluster's.
  bool consistent = false;  ///< Overrides the cluster's consistency (it confirms an absence).
};
/// Keeps `text` under `key` until it is replaced (empty: dropped). `durable` survives a reboot;
/// the rest lives as long as the runtime directory. `sync` waits for the disk.
struct Remember {
  std::string key;
  std::string text;
  bool durable = true;
  bool sync = false;
};
/// The answer to a request: exactly one each. `progress` ones may come before it.
struct Reply {
  ClientId client{};
  std::uint64_t tag = 0;
  bool progress = false;
  Report report;
};
/// Conditions are to be asked now, apart from everything that is judged: `reply` is completed with
/// what they say, and sent.
struct TryOut {
  struct Subject {
    std::shared_ptr<const WatchSpec> spec;
    RunId run = RunId::none;
    std::vector<std::uint32_t> conditions;  ///< Parallel to those of its report.
  };
  Reply reply;
  std::vector<Subject> subjects;  ///< Parallel to the watches of the report.
};
/// One line of history: goes to the log, the event file and everyone who follows events.
struct Note {
  std::string watch;  ///< Empty: supvd itself.
  NoteKind kind = NoteKind::change;
  std::string from;
  std::string to;
  std::string action;
  std::string by;
  std::string reason;
  int pid = 0;
};
/// Reads configuration files: `files` replaces or adds those, empty re-reads the whole set.
struct Load {
  std::uint64_t ticket = 0;
  std::vector<std::string> files;
};
/// The configuration in force changed (connections, daemon block; `config` has no watches).
struct Applied {
  Config config;
  std::uint64_t ticket = 0;  ///< Of the load it came from; 0: the one of Boot.
  /// Names of the watches that stay in force although no file of it names them: the next brain is
  /// to know them too.
  std::vector<std::string> retained;
};
/// supvd ends. `keep`: what runs is left alone.
struct Finish {
  int code = 0;
  bool keep = false;
};

}  // namespace fx

using Effect =
    std::variant<fx::Spawn, fx::Adopt, fx::Deliver, fx::Stop, fx::Signal, fx::Follow, fx::Amend,
                 fx::Forget, fx::Arm, fx::Disarm, fx::Poll, fx::TellEnd, fx::Probe, fx::Http,
                 fx::Remember, fx::Reply, fx::TryOut, fx::Note, fx::Load, fx::Applied, fx::Finish>;

}  // namespace supv
