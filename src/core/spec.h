#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "core/contact_spec.h"
#include "core/rare.h"

/// What a configuration says, as plain comparable values. Written by config/, read by core/.
/// Nothing here has been resolved against the machine: user names are names, paths are as written
/// (relative ones are relative to `dir`), so that equal files give equal specs.
namespace supv {

/// One command line. `argv` is what is executed: for a string that needs a shell that is
/// {"/bin/sh", "-c", text} with `exec` inserted by the rule of the contract (2.1, `start`).
struct Command {
  std::vector<std::string> argv;
  /// The main process stays supvd's own shell, so signals go to the run's process group.
  bool own_shell = false;
  bool operator==(const Command&) const = default;
};

/// One step of a stop ladder: send `signal`, then wait `wait` for the end. The last step is KILL.
struct LadderStep {
  int signal = 0;
  Duration wait{};
  bool operator==(const LadderStep&) const = default;
};

/// At most this many steps in a ladder, its final KILL included.
inline constexpr std::size_t kMaxLadder = 8;

/// The keys that shape the process. A change in any of them restarts a running watch; all other
/// keys of a watch apply live.
struct ProcessSpec {
  Command start;
  std::string dir;  ///< Absolute after loading; "/" if not given. Symlinks are resolved at a start.
  std::vector<std::pair<std::string, std::string>> env;  ///< In file order, interpolated.
  std::vector<std::string> env_files;                    ///< Re-read at each start.
  bool clean_env = false;
  RareText uid;  ///< User name or number; empty: supvd's own.
  RareText gid;  ///< Group name or number; empty: the user's primary group.
  std::optional<std::uint32_t> umask;
  RareText chroot;
  RareText log;            ///< Empty: LOG_DIR/NAME.log.
  RareText err_log;        ///< Empty: same as `log`.
  RareText pid_file;       ///< Empty: the start command stays in the foreground.
  bool whole_tree = true;  ///< false for `kill: process`.
  bool operator==(const ProcessSpec&) const = default;
};

/// What "up" means.
struct ReadySpec {
  enum class Kind : std::uint8_t { alive, notify, after, tcp, file, condition };
  Kind kind = Kind::alive;  ///< alive: still alive after 1 s. condition: a transition to `up`.
  Duration after{};         ///< Kind::after.
  std::string target;       ///< tcp: "HOST:PORT"; file: a path.
  bool operator==(const ReadySpec&) const = default;
};

/// What a condition leads to. The order is part of condition_key(): new ones go to the end.
enum class Action : std::uint8_t {
  start,
  restart,
  stop,
  reload,
  notify,
  unmonitor,
  up,  ///< A start has succeeded (transitions to `up`).
  none,
};

/// "start", "restart", ...; as in a watch file and in events.
const char* action_name(Action action);

/// How a condition comes to its verdicts.
enum class ConditionKind : std::uint8_t {
  poll,    ///< Asked every `interval`.
  exit,    ///< True once, when the run it belongs to has ended by itself.
  change,  ///< Fed with samples by a follower; judged by its Timeline.
  all,     ///< Of the conditions that name it as `parent`.
  any,
  none,  ///< `not`.
};

/// The key of a watch that a condition stands under.
enum class ConditionList : std::uint8_t {
  keepalive,
  start_if,
  restart_if,
  stop_if,
  reload_if,
  unmonitor_if,
  notify_if,
  transitions,
  lifecycle,
};

/// When in the life of a watch a condition is judged; a set of them.
namespace phase {
inline constexpr std::uint8_t kUp = 1;
inline constexpr std::uint8_t kRest = 2;        ///< Down, and not by an operator's word.
inline constexpr std::uint8_t kStarting = 4;    ///< A first start, or one after a stop.
inline constexpr std::uint8_t kRestarting = 8;  ///< A start that replaces a run.
inline constexpr std::uint8_t kInit = 16;       ///< It is to be up and nothing of it runs.
inline constexpr std::uint8_t kAlways = 32;     ///< As long as it is monitored (`lifecycle`).
}  // namespace phase

/// Whom something is told to (contract 2.2, `notify`).
struct NotifySpec {
  std::vector<std::string> contacts;  ///< Names of contacts, or of groups of contacts.
  RareText priority;
  RareText category;
  bool operator==(const NotifySpec&) const = default;
};

/// "3 of the last 5".
struct TimesSpec {
  std::uint8_t fires = 1;
  std::uint8_t of = 1;  ///< At most 64.
  bool operator==(const TimesSpec&) const = default;
};

/// The parameters of one consul_kv (contract 2.2).
struct KvSpec {
  enum class Mode : std::uint8_t { watch, poll };
  enum class OnDelete : std::uint8_t { hold, change };
  enum class OnInvalid : std::uint8_t { hold, raw };
  enum class Missed : std::uint8_t { act, ignore, notify };
  std::string cluster;  ///< Name of a cluster; empty: the default one.
  std::string datacenter;
  std::string path;  ///< The key, or the prefix; cleaned: no leading or doubled slash.
  bool prefix = false;
  std::vector<std::string> select;  ///< JSON pointers (RFC 6901); empty: the whole value.
  std::vector<std::string> ignore;  ///< JSON pointers that do not count.
  std::uint32_t window = 2;         ///< Samples kept and shown, baseline included; >= 2.
  Duration interval{5000};          ///< Sampling pace in poll mode.
  Mode mode = Mode::watch;
  Duration settle{0};
  Duration settle_max{0};  ///< 0: four times `settle`.
  Duration min_interval{5000};
  OnDelete on_delete = OnDelete::hold;
  OnInvalid on_invalid = OnInvalid::hold;
  Missed missed = Missed::act;
  bool operator==(const KvSpec&) const = default;
};

/// One condition in one of a watch's lists.
struct ConditionSpec {
  std::string name;  ///< "memory_usage", "consul_kv", ...
  std::string id;    ///< Unique in its watch: written, or NAME#N counted over the whole watch.
  Action action = Action::restart;
  ConditionKind kind = ConditionKind::poll;
  /// Every declared option in the order of its declaration, defaults filled in, as text.
  std::vector<std::pair<std::string, std::string>> options;
  Duration interval{30000};
  TimesSpec times;
  Duration timeout{0};  ///< 0: the condition's own.
  Duration splay{0};
  Rare<NotifySpec> notify;
  std::optional<KvSpec> kv;  ///< Only for kind change.
  ConditionList list = ConditionList::restart_if;
  std::uint8_t phases = phase::kUp;
  /// What it leads to when it is false; only in `transitions`.
  std::optional<Action> otherwise;
  /// Index in the watch's conditions of the all, any or not that this one is a part of; -1: of
  /// none. A part does nothing by itself.
  std::int16_t parent = -1;
  /// god's degrading: asked twice as often after each of the first two answers that are true.
  bool degrading = false;
  /// True says that something changed, not that something is wrong: it never counts as flapping.
  bool news = false;
  bool operator==(const ConditionSpec&) const = default;
};

/// At most this many consul_kv conditions on one watch (their baselines live in the run's record).
inline constexpr std::size_t kMaxChangeConditions = 16;

struct BackoffSpec {
  Duration initial{500};
  Duration max{60000};
  double factor = 2;
  double jitter = 20;  ///< Percent.
  Duration reset_after{60000};
  bool operator==(const BackoffSpec&) const = default;
};

/// god's flapping trigger.
struct FlappingSpec {
  std::uint32_t times = 5;
  Duration within{300000};
  Duration retry_in{0};  ///< 0: never retried.
  std::uint32_t retry_times = 0;
  Duration retry_within{0};
  Rare<NotifySpec> notify;
  bool operator==(const FlappingSpec&) const = default;
};

/// god's behavior notify_when_flapping: tells whenever `failures` starts fell within `within`.
struct FlappingNoticeSpec {
  std::uint32_t failures = 5;
  Duration within{60000};
  Rare<NotifySpec> notify;
  bool operator==(const FlappingNoticeSpec&) const = default;
};

/// What makes a watch a task: a command that is run when a condition is true (contract 2.4).
struct TaskSpec {
  Duration timeout{0};      ///< 0: it may take as long as it likes.
  std::uint32_t retry = 0;  ///< Times a run that failed is repeated.
  bool operator==(const TaskSpec&) const = default;
};

/// Commands around the life of a run. before_start failing is a failed start; the others are only
/// reported.
struct HooksSpec {
  std::optional<Command> before_start;
  std::optional<Command> after_start;
  std::optional<Command> before_stop;
  std::optional<Command> after_stop;
  std::optional<Command> before_restart;
  std::optional<Command> after_restart;
  bool operator==(const HooksSpec&) const = default;
};

/// Everything that is rarely written, kept apart so that a plain watch stays small in memory.
struct RareSpec {
  std::optional<Command> stop;
  std::optional<Command> restart;
  std::optional<Command> reload;
  int reload_signal = 0;  ///< `reload: HUP`.
  HooksSpec hooks;
  std::optional<FlappingSpec> flapping;
  std::vector<std::pair<std::string, std::string>> labels;
  /// Told of every change of state.
  NotifySpec notify;
  std::string unix_socket;
  bool clean_pid_file = false;
  bool clean_unix_socket = false;
  std::optional<FlappingNoticeSpec> flapping_notice;
  /// Pid file of another supervisor (relative to `dir`): the process it names is taken over
  /// instead of starting one.
  std::string adopt;
  std::optional<TaskSpec> task;
  bool operator==(const RareSpec&) const = default;
};

/// One watch, complete.
struct WatchSpec {
  std::string name;
  std::vector<std::string> groups;
  ProcessSpec process;
  ReadySpec ready;
  Duration start_timeout{30000};
  std::vector<LadderStep> ladder;  ///< At least one step, ends in KILL, at most kMaxLadder.
  Duration stop_timeout{30000};
  Duration watchdog{0};  ///< 0: none.
  bool autostart = true;
  bool essential = false;
  bool keepalive = true;
  BackoffSpec backoff;
  Duration grace{0};
  Duration start_grace{0};
  Duration stop_grace{0};
  Duration restart_grace{0};
  std::vector<ConditionSpec> conditions;
  std::shared_ptr<const RareSpec> rare;  ///< Null when none of its keys is written.
  std::string file;                      ///< The file that defines it.
};

/// True when the specs say the same (compares what `rare` points to; `file` does not count).
bool same_spec(const WatchSpec& a, const WatchSpec& b);
/// The names of the top-level keys of a watch in which the two differ, in file order of the
/// contract ("start", "env", "restart_if", ...).
std::vector<std::string> changed_keys(const WatchSpec& a, const WatchSpec& b);

/// A Consul cluster as written; the environment's CONSUL_* fills what is empty (brain/).
struct ConsulSpec {
  std::string address;
  std::string token;
  std::string token_file;
  std::string ca_file;
  std::string ca_path;
  std::string client_cert;
  std::string client_key;
  std::string tls_server_name;
  std::optional<bool> insecure;
  std::string datacenter;
  std::string name_space;
  std::string partition;
  std::string consistency;  ///< "", "default", "stale", "consistent".
  Duration timeout{10000};
  bool operator==(const ConsulSpec&) const = default;
};

struct DaemonSpec {
  std::vector<std::string> operators;  ///< User names, or "@group".
  std::vector<std::string> readers;
  std::optional<std::uint32_t> socket_mode;
  std::string log;
  std::string log_level;         ///< "", debug, info, warn, error.
  std::string log_format;        ///< "", text, json.
  Duration shutdown_timeout{0};  ///< 0: each watch's own ladder.
  bool operator==(const DaemonSpec&) const = default;
};

/// The whole configuration.
/// A plugin that conditions of a configuration name.
struct PluginSpec {
  std::string name;  ///< Of its condition.
  std::string path;
  std::uint32_t flags = 0;  ///< supv_flag
  bool operator==(const PluginSpec&) const = default;
};

/// Where plugins are looked for, and what the process of each may do.
struct PluginsSpec {
  std::vector<std::string> paths;  ///< Files and directories, absolute.
  std::string user;                ///< Empty: nobody if supvd is root, else the user of supvd.
  std::uint64_t memory = std::uint64_t{256} << 20;  ///< Bytes.
  std::vector<PluginSpec> used;                     ///< By name; what the load has found.
  bool operator==(const PluginsSpec&) const = default;
};

struct Config {
  std::vector<WatchSpec> watches;              ///< In the order of definition; names are unique.
  std::map<std::string, ConsulSpec> clusters;  ///< "" is the default one; always there.
  DaemonSpec daemon;
  PluginsSpec plugins;
  std::vector<ContactSpec> contacts;  ///< In the order of definition; names are unique.
  std::vector<std::string> files;     ///< Every file read, includes too, in order.
};

}  // namespace supv
