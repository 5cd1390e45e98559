#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/messages.h"

/// The language of the control socket: JSON-RPC 2.0, one message a line. Both sides are here, so
/// that supvd and supvctl cannot disagree. Nothing in it throws for what a line contains.
namespace supv::protocol {

/// Longer lines are refused and the connection is closed.
inline constexpr std::size_t kMaxLine = 256 * 1024;

/// What a call wants. Everything but `core` is answered by the world around the core.
enum class Kind : std::uint8_t { core, version, history, events, kv, logs, contact };

/// One question from a client.
struct Call {
  std::string id;  ///< JSON text of the id, to be sent back as it is.
  Kind kind = Kind::core;
  /// For `core` complete but for client, tag and by. For history, events and logs only select,
  /// files and all are used.
  Request request;
  std::uint64_t count = 0;  ///< history, events: at most so many lines; 0: as many as is usual.
  bool follow = false;      ///< events: go on for ever.
  std::string kv_action;    ///< get | put | delete
  std::string key;          ///< Of a KV question; of a contact's test its name.
  std::string value;
};

/// JSON-RPC's own error codes, and ours.
inline constexpr int kParseError = -32700, kInvalidRequest = -32600, kUnknownMethod = -32601,
                     kInvalidParams = -32602, kRefusedCall = -32000, kBusy = -32001;

/// Why a line is not a call.
struct Refusal {
  std::string id = "null";  ///< JSON text; "null" when the line does not say.
  int error = 0;            ///< One of the codes above.
  std::string text;
};

/// Reads a line a client sent. A line without an id is refused: every call gets a reply.
std::variant<Call, Refusal> parse_call(std::string_view line);

/// Writes a call, as a line without its newline.
std::string call_line(const Call& call);
/// The method's name: "status", "history", ...
std::string_view method_name(const Call& call);
/// True for what `daemon.readers` may ask.
bool only_reads(const Call& call);

/// supvd itself, as `status` shows it. Empty texts and 0 become null.
struct Supvd {
  int pid = 0;
  std::string version;
  double uptime_s = 0;
  std::string consul;          ///< "ok" | "down" | "unused"
  std::string consul_address;  ///< Only with --dev.
};

/// What the tree of a watch uses now. `cpu_percent` is empty at the first sample.
struct Used {
  std::optional<std::uint64_t> rss_bytes;
  std::optional<double> cpu_percent;
};

/// Where the output of a watch is.
struct LogFiles {
  std::string watch;
  std::string log;
  std::string err_log;  ///< The same as `log` unless the watch separates them.
};

/// One line of history, as it is kept and followed.
struct HistoryLine {
  std::int64_t wall_ms = 0;
  fx::Note note;
};

/// What a KV question came to, or the test of a contact (then without value and index).
struct KvAnswer {
  int code = 0;                      ///< What the client exits with.
  std::string text;                  ///< One line for people.
  std::optional<std::string> value;  ///< get: the bytes; empty when there is no such key.
  std::uint64_t index = 0;           ///< ModifyIndex; 0: none.
};

/// Replies, each one line with its newline. `used` runs parallel to `report.watches` (missing ones
/// are unknown). A query that found no watch becomes an error.
std::string reply_line(const Call& call, const Report& report, const Supvd& supvd,
                       const std::vector<Used>& used);
std::string progress_line(const Call& call, const Report& report);
std::string error_line(const Refusal& refusal, int exit_code);
std::string version_line(const Call& call, const Supvd& supvd);
/// `lines` are texts of history_text().
std::string history_line(const Call& call, const std::vector<std::string>& lines);
std::string logs_line(const Call& call, const std::vector<LogFiles>& files);
std::string kv_line(const Call& call, const KvAnswer& answer);
/// What a follower of events gets for each line.
std::string event_line(std::string_view history_text);

/// A history line as JSON text without newline, and back (empty: not one).
std::string history_text(const HistoryLine& line);
std::optional<HistoryLine> parse_history(std::string_view text);

/// One line from supvd, as the client sees it.
struct Answer {
  enum class Kind : std::uint8_t { result, error, progress, event };
  Kind kind = Kind::result;
  std::string id;    ///< JSON text of the id of the call; empty for an event.
  int code = 0;      ///< What the client exits with.
  int error = 0;     ///< JSON-RPC code of an error, else 0.
  std::string text;  ///< Of the error or the report.
  Report report;     ///< What the result says; started_wall_ms and the like where it shows them.
  Supvd supvd;
  std::vector<Used> used;            ///< Parallel to report.watches.
  std::vector<HistoryLine> history;  ///< history, events; one for an event.
  std::vector<LogFiles> logs;
  KvAnswer kv;
  std::string json;  ///< Text of the result, of the error, or of the notification's params.
};

/// Reads a line supvd sent; empty when it is none.
std::optional<Answer> parse_answer(std::string_view line);

}  // namespace supv::protocol
