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

/// The largest packet that is sent; Make alone can come near it.
inline constexpr std::size_t kMaxPacket = std::size_t{64} * 1024;
/// A reason is cut here.
inline constexpr std::size_t kMaxReason = 1024;

/// Brain to host: a new brain. Host to brain: its Welcome.
struct Hello {
  std::uint64_t session = 0;
};

/// Makes an instance of a condition.
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
  std::int32_t exit_code = -1;
  std::int32_t exit_signal = 0;
};

/// Host to brain: what an instance answered.
struct Said {
  std::uint64_t id = 0;
  std::uint64_t serial = 0;
  supv_outcome outcome = SUPV_UNKNOWN;
  std::string reason;  ///< As the condition wrote it.
};

using Message = std::variant<Hello, Make, Drop, Ask, Said>;

std::string encode(const Message& message);
/// Empty when the packet is malformed in any way.
std::optional<Message> decode(std::string_view packet);

}  // namespace supv::host
