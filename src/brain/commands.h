#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "brain/environment.h"
#include "brain/reactor.h"
#include "core/messages.h"
#include "core/run_ids.h"
#include "keeper/channel.h"
#include "keeper/wire.h"

namespace supv {

/// A command that is run once, on behalf of a condition or a contact.
struct CommandRequest {
  Command command;  ///< As config's parse_command gives it.
  /// User, directory and environment, as for a start; null: supvd's own, in "/".
  std::shared_ptr<const ProcessSpec> process;
  std::string watch;  ///< SUPV_WATCH of its environment.
  /// Further variables of the environment, above all others.
  std::vector<std::pair<std::string, std::string>> env;
  std::string input;        ///< What it reads from standard input.
  Duration timeout{10000};  ///< From its start on; then the whole tree is killed.
};

/// What came of it.
struct CommandResult {
  std::string error;  ///< It could not be run, and why, in one line; empty: it was.
  bool timed_out = false;
  ExitStatus status;   ///< Of the main process; unknown when it could not be run or timed out.
  std::string output;  ///< The first 64 KiB of standard output; as it is, may hold any bytes.
  std::string errors;  ///< The first 4 KiB of standard error.
};

/// Commands of supvd's own, each started by the keeper in a tree of processes of its own. They
/// live in slots that the core never uses; what an earlier brain left there is killed and
/// forgotten, because nobody waits for its answer any more.
class Commands {
 public:
  enum class Id : std::uint64_t { none = 0 };
  /// Called once, never from within run() or cancel(). May call both.
  using Done = std::function<void(CommandResult result)>;

  /// Slots that belong to commands: so many run at once, the rest waits for its turn.
  static constexpr std::uint32_t kFirstSlot = RunIds::kFirstCommand;
  static constexpr std::uint32_t kSlotEnd = RunIds::kFirstPlugin;
  static constexpr std::size_t kMaxOutput = std::size_t{64} * 1024;
  static constexpr std::size_t kMaxErrors = std::size_t{4} * 1024;
  /// More than this many waiting are refused.
  static constexpr std::size_t kMaxWaiting = 4096;

  /// `own` is supvd's environment. `keeper` and `reactor` outlive the commands.
  Commands(Channel& keeper, Reactor& reactor, Environment own);

  /// The trial KV's address, for CONSUL_HTTP_ADDR; empty: there is none.
  void set_consul_address(std::string address) { consul_address_ = std::move(address); }

  /// Starts a command, or queues it.
  Id run(Time now, CommandRequest request, Done done);
  /// Kills it with its whole tree; its Done is not called. An id that is over does no harm.
  void cancel(Id id);
  /// Runs under way, and those that wait for a slot.
  std::size_t under_way() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }

  /// A slot of the keeper's at the start of a brain. False: it is no command.
  bool adopt(const wire::Slot& slot);
  /// News of the keeper. False: not about a command.
  bool hear(const wire::News& news, Time now);

  /// When tick() has something to do.
  std::optional<Time> deadline() const;
  void tick(Time now);

  /// supvd ends: nothing is started any more, what runs is killed, nobody is told.
  void finish();
  bool finished() const { return running_.empty(); }

 private:
  /// One end of a pipe, and what is kept of what came out of it.
  struct Stream {
    Fd fd;
    std::string text;
    std::size_t room = 0;
    Watching watching;  // Last: ends before the descriptor is closed.
  };
  struct Running {
    Id id = Id::none;  ///< none: nobody waits for it any more.
    RunId run = RunId::none;
    Done done;
    Time until{};
    Stream output;
    Stream errors;
  };
  struct Waiting {
    Id id;
    CommandRequest request;
    Done done;
  };
  struct Ready {
    Id id;
    Done done;
    CommandResult result;
  };
  using Slot = std::uint32_t;

  std::optional<Slot> free_slot() const;
  void start_waiting(Time now);
  void start(Slot slot, Time now, Waiting waiting);
  void spawn(Slot slot, const CommandRequest& request, Running& running);
  void listen(Slot slot, Stream Running::*which, Stream& stream, Fd fd, std::size_t room);
  void drain(Stream& stream, std::size_t most);
  void drop(Stream& stream, std::size_t most);
  static void close(Stream& stream);
  void answer(Running& running, CommandResult result);
  void kill(RunId run);
  void forget(Slot slot);

  Channel& keeper_;
  Reactor& reactor_;
  Environment own_;
  std::string consul_address_;
  bool finishing_ = false;
  std::uint64_t last_id_ = 0;
  std::uint64_t generation_ = 0;
  Fd nowhere_;                            ///< /dev/null
  std::array<bool, kSlotEnd> foreign_{};  ///< Taken by something that is no command.
  std::map<Slot, Running> running_;
  std::deque<Waiting> waiting_;
  std::deque<Ready> ready_;  ///< Answers to be said by tick().
};

}  // namespace supv
