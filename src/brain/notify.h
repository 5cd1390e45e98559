#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "brain/reactor.h"
#include "core/messages.h"

namespace supv {

/// The sd_notify sockets: one datagram socket per run that wants it. The keeper holds a duplicate
/// of each, so what a run says while there is no brain waits for the next one.
class Notify {
 public:
  /// What Notify needs to know and to say. All are called from within the reactor.
  struct Ears {
    /// Whether the live process `pid` is of the run's tree.
    std::function<bool(RunId run, pid_t pid)> of_tree;
    std::function<void(Event)> say;                      ///< Ready and Alive.
    std::function<void(RunId run, pid_t pid)> main_pid;  ///< MAINPID=
  };
  /// How a run reaches its socket.
  enum class Reach {
    path,      ///< By a path below the directory, which only supvd's own user can enter.
    anywhere,  ///< By an abstract name: from a chroot, or as another user.
  };
  struct Opened {
    std::string address;  ///< For NOTIFY_SOCKET.
    Fd stored;            ///< The keeper's duplicate.
  };

  /// `directory` is made (0700) at first need.
  Notify(Reactor& reactor, std::string directory, Ears ears);

  /// Makes the socket of a run. Throws std::system_error.
  Opened open(RunId run, Reach reach);
  /// The run has been launched, so its processes can be told from others: what they have said
  /// since they were executed is waiting in the socket and is heard now.
  void listen(RunId run);
  /// Makes the socket of an adopted run again under its old name: it died with the keeper that kept
  /// it. Nothing when the run had none, or an abstract name, which cannot be known.
  void renew(RunId run, bool launched);
  /// Goes on with the socket of a run that an earlier brain made.
  void adopt(RunId run, Fd socket, bool launched);
  /// The run is over.
  void close(RunId run);
  /// All that was said so far has been acted on. A message stays in its socket until then: should
  /// this brain die in between, the next one hears it.
  void acted();

 private:
  struct Socket {
    Fd fd;
    bool by_path = false;
    bool heard = false;                // Its first message, which is still there.
    std::optional<Watching> watching;  // Last: ends before the descriptor is closed.
  };
  void receive(RunId run);
  enum class Heard : std::uint8_t { nothing, no_news, news };
  Heard receive_one(RunId run, const Socket& socket);
  Heard hear(RunId run, std::string_view message);
  bool hear_line(RunId run, std::string_view line);
  std::string path_of(RunId run) const;

  Reactor& reactor_;
  std::string directory_;
  Ears ears_;
  std::map<RunId, Socket> sockets_;
  std::vector<RunId> heard_;  ///< Whose first message has been heard.
};

}  // namespace supv
