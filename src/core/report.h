#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/perfdata.h"

/// What the core tells people, as plain values; brain/ turns it into JSON and adds what only the
/// machine knows (memory, CPU). A field that does not apply is empty.
namespace supv {

/// One entry of a consul_kv timeline: shown as "#INDEX HASH8 TIME".
struct TimelineEntry {
  std::uint64_t index = 0;
  std::string hash8;  ///< "absent" for a missing key.
  std::int64_t wall_ms = 0;
};

struct ConditionReport {
  std::string id;
  std::string verdict;  ///< "true" | "false" | "unknown"
  std::string reason;
  std::string mode;      ///< consul_kv: "watch", "poll", "poll (connection budget)".
  std::string baseline;  ///< consul_kv: "known" | "assumed".
  std::vector<TimelineEntry> timeline;
  std::optional<std::int64_t> checked_wall_ms;
  std::optional<double> took_ms = {};  ///< probe: how long the answer took.
  std::vector<Metric> metrics = {};
};

struct LastExit {
  std::optional<int> code;
  std::string signal;
  std::int64_t wall_ms = 0;
};

struct LastChange {
  std::int64_t wall_ms = 0;
  std::string action;  ///< start | stop | restart | reload
  std::string by;      ///< condition | operator | exit | watchdog | flapping | load ...
  std::string reason;
};

struct PendingReport {
  std::string action;
  std::string reason;
  std::string waiting_for;  ///< splay | grace | backoff | hold | ready | settle
  std::optional<std::int64_t> until_wall_ms;
};

struct HoldReport {
  std::optional<std::int64_t> until_wall_ms;
  std::string reason;
  std::string by;
};

/// One key of a watch's definition and its value, as text.
struct Setting {
  std::string key;
  std::string value;
};

struct WatchReport {
  std::string name;
  std::vector<std::string> groups;
  std::string state;
  std::string desired;    ///< "up" | "stopped" | "unmonitored"
  std::string health;     ///< "ok" | "failing" | "unknown"
  std::uint64_t run = 0;  ///< 0: nothing runs. brain/ reads memory and CPU of its tree.
  int pid = 0;
  std::optional<std::int64_t> started_wall_ms;
  double uptime_s = 0;
  std::uint64_t restarts = 0;
  std::optional<LastExit> last_exit;
  std::optional<LastChange> last_change;
  std::optional<PendingReport> pending;
  std::optional<HoldReport> hold;
  std::vector<std::string> warnings;
  std::vector<ConditionReport> conditions;
  bool essential = false;
  bool task = false;  ///< Its process is a command that ends; at rest it is as it should be.
  std::string file;
  std::string log;  ///< As written; empty: the default place.
  std::string err_log;
  /// Not empty: this pid file should exist by now; brain/ warns when it does not.
  std::string expect_pid_file;
  std::vector<Setting> definition;  ///< Only for `show`.
};

/// One line of what `plan` shows and `load` does.
struct PlanLine {
  std::string watch;
  std::string change;  ///< add | remove | restart | live | none
  std::vector<std::string> keys;
  std::string text;  ///< In words.
};

/// How one watch fared under an action.
struct Outcome {
  std::string watch;
  bool ok = false;
  std::string text;  ///< "up, pid 4711" or why not.
};

/// What supvd's own start is told of a watch that is not started.
inline constexpr const char* kStaysStopped = "stays stopped, as an operator left it";

/// Codes of contract 3; the client exits with them.
namespace code {
inline constexpr int kDone = 0, kFailed = 1, kUsage = 2, kDenied = 4, kNoSuchWatch = 5,
                     kInvalid = 6, kUnreachable = 7, kPartial = 153, kRefused = 154;
}

/// The answer to a request.
struct Report {
  int code = 0;                      ///< What the client exits with.
  std::string text;                  ///< One line for people; diagnostics of a rejected load.
  std::vector<WatchReport> watches;  ///< status, show, why
  std::vector<Outcome> outcomes;     ///< actions, wait
  std::vector<PlanLine> plan;        ///< plan, load
  std::int64_t expect_ms = 0;        ///< progress: how long the action may take by its own limits.
  std::string consul;                ///< status: "ok" | "down" | "unused"
};

/// What a history line is about.
enum class NoteKind : std::uint8_t { change, condition, warning, action };

}  // namespace supv
