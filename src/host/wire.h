#pragma once

#include <supv/condition.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// What brain and host say to each other: one packet of a SOCK_SEQPACKET channel is one message.
/// The host outlives brains, because a process with a thread that a dead disk holds cannot even be
/// killed: the next brain says Hello, which ends every instance of the one before, and drops what
/// it reads until the Welcome that repeats its session number.
namespace supv::host {

/// The largest packet that is sent; Make and Reply can come near it.
inline constexpr std::size_t kMaxPacket = std::size_t{96} * 1024;
/// The text of a Reply is cut here.
inline constexpr std::size_t kMaxReply = std::size_t{68} * 1024;
/// Metrics are cut here.
inline constexpr std::size_t kMaxMetrics = 2048;
/// A reason is cut here.
inline constexpr std::size_t kMaxReason = 1024;

/// Brain to host: a new brain. Host to brain: its Welcome.
struct Hello {
  std::uint64_t session = 0;
};

/// Makes an instance of a condition. In the process of a plugin answered by a Said of serial 0,
/// whose reason says why it could not be made.
struct Make {
  std::uint64_t id = 0;  ///< Never used before in this session.
  std::string name;
  std::string watch;
  /// Values in base units, and what only some conditions ask for: "watch.log", the logs of the
  /// watch joined by '\n', and "watch.dir", what its relative paths are relative to.
  std::vector<std::pair<std::string, std::string>> options;
};

/// Destroys an instance, at once or as soon as the call it hangs in returns.
struct Drop {
  std::uint64_t id = 0;
};

/// Calls an instance; answered by one Said. The calls of one instance are made one after another.
struct Ask {
  std::uint64_t id = 0;
  std::uint64_t serial = 0;  ///< Names the answer.
  std::uint32_t kind = 0;    ///< supv_event_kind: SUPV_TICK or SUPV_ENDED.
  std::int64_t monotonic_ns = 0;
  std::int64_t wall_ns = 0;
  std::int64_t armed_wall_ns = 0;
  std::int32_t exit_code = -1;
  std::int32_t exit_signal = 0;
  std::int32_t pid = 0;  ///< The tracked process, 0: none.
};

/// What came of a Fetch or a Run, for the call that waits for it.
struct Reply {
  Ask ask;  ///< Of kind SUPV_REPLY, with the serial of the call.
  bool failed = false;
  std::string error;  ///< If it failed.
  std::int32_t status = 0;
  std::int32_t signal = 0;
  std::string text;
};

/// Host to brain: the condition wants to know something, and waits for the Got of the same call.
struct Want {
  enum class What : std::uint8_t { usage, pids, cgroup };
  std::uint64_t id = 0;
  std::uint64_t call = 0;
  What what = What::usage;
  std::uint32_t scope = 0;  ///< supv_scope
  bool with_pss = false;
};
struct Got {
  std::uint64_t call = 0;
  std::int64_t result = -1;  ///< As the function of supv_host returns it.
  std::string bytes;         ///< A struct supv_usage, pids, a path.
};

/// Host to brain: supv_host.http and .run. Answered by a Reply.
struct Fetch {
  std::uint64_t id = 0;
  std::string method, url, headers, body, unix_socket, ca_file, client_cert, client_key,
      server_name;
  bool insecure = false;
  std::int32_t redirects = 0;
  std::int64_t timeout_ms = 0;
};
struct Run {
  std::uint64_t id = 0;
  std::string command;
  std::int64_t timeout_ms = 0;
};

/// Host to brain: the process cannot go on, and ends now.
struct Trouble {
  std::uint64_t id = 0;  ///< The instance at fault, or 0.
  std::string text;
};

/// Host to brain: what an instance answered.
struct Said {
  std::uint64_t id = 0;
  std::uint64_t serial = 0;
  supv_outcome outcome = SUPV_UNKNOWN;
  std::string reason;  ///< As the condition wrote it.
  std::string metrics;
};

using Message = std::variant<Hello, Make, Drop, Ask, Said, Reply, Want, Got, Fetch, Run, Trouble>;

std::string encode(const Message& message);
/// Empty when the packet is malformed in any way.
std::optional<Message> decode(std::string_view packet);

}  // namespace supv::host
