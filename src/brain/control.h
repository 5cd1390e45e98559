#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "brain/connection.h"
#include "brain/peers.h"
#include "brain/reactor.h"
#include "core/messages.h"
#include "core/protocol.h"

namespace supv {

/// What the control server asks of the world it stands in, from the reactor's callbacks and from
/// its own functions. `asked` and `client_gone` go on to the core, as events.
class ControlWorld {
 public:
  virtual ~ControlWorld() = default;
  /// The monotonic clock, read now; World::now is too old inside a callback.
  virtual Time clock() = 0;
  /// Becomes ev::Asked. The answer comes by Control::reply, later or at once.
  virtual void asked(const Request& request) = 0;
  /// Becomes ev::ClientGone.
  virtual void client_gone(ClientId client) = 0;
  /// supvd itself, now (but for `consul`, which the report knows).
  virtual protocol::Supvd supvd() = 0;
  /// What the tree of this watch uses, now.
  virtual protocol::Used used(const WatchReport& watch) = 0;
  /// Where the output of this watch is, default place filled in.
  virtual protocol::LogFiles log_files(const WatchReport& watch) = 0;
  /// The newest `count` lines of history, oldest first, of the watches for which `wanted` says so
  /// (an empty name is supvd itself).
  virtual std::vector<std::string> history(
      std::size_t count, const std::function<bool(std::string_view watch)>& wanted) = 0;
  /// A KV question, or the test of a contact; answered by Control::answer_kv.
  virtual void kv(ClientId client, std::uint64_t tag, const protocol::Call& call) = 0;
};

/// Every limit of the control socket.
struct ControlLimits {
  std::size_t connections = 128;
  /// Of one user, but for root and supvd's own; so many are also kept free for these two.
  std::size_t per_user = 16;
  std::chrono::nanoseconds idle = std::chrono::seconds(30);
  std::size_t backlog = 256 * 1024;  ///< Unread bytes before a client is throttled or dropped.
  std::size_t pending = 64;          ///< Unanswered calls of one connection.
};

/// The control socket: accepts, reads calls, hands them on, sends exactly one reply to each.
/// A client can neither block nor exhaust it: a slow reader is not read from, a follower that does
/// not read is dropped, one client too many is told BUSY.
class Control {
 public:
  /// `listener` is a listening, non-blocking stream socket (the keeper's). Everything must outlive
  /// the server. Throws std::system_error.
  Control(Fd listener, Reactor& reactor, ControlWorld& world, Peers& peers,
          ControlLimits limits = {});
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  /// Closes idle clients; due at wake().
  void tick();
  /// When tick() has something to do; empty while nobody is idle.
  std::optional<Time> wake() const;

  /// Sends what the core says. An unknown client or tag is one that has gone.
  void reply(const fx::Reply& reply);
  void answer_kv(ClientId client, std::uint64_t tag, const protocol::KvAnswer& answer);
  /// Hands a new history line to everyone who follows events of this watch.
  void publish(std::string_view watch, std::string_view history_text);

  /// Whether every client has taken all that was sent to it.
  bool flushed() const;
  /// Connected clients.
  std::size_t clients() const { return clients_.size(); }
  /// Clients that were told BUSY, or dropped for not reading, since the start.
  std::uint64_t turned_away() const { return turned_away_; }

 private:
  using Tag = std::uint64_t;
  struct Client {
    Client(Fd fd, uid_t owner) : connection(std::move(fd), protocol::kMaxLine), uid(owner) {}
    Connection connection;
    uid_t uid;
    ClientId id = ClientId::none;
    Tag last_tag = 0;
    std::map<Tag, protocol::Call> pending;
    std::size_t large = 0;  // Of the pending: may have a large reply.
    bool known = false;     // To the core.
    bool following = false;
    bool serving = false;  // serve() is under way: it goes on by itself.
    bool doomed = false;
    std::vector<std::string> followed;  // Names and globs; empty: everything.
    Time active{};
    Watching watching;  // Last: ends before the descriptor is closed.
  };
  /// While one exists no client is erased, so references to clients stay good.
  class Turn;

  void accept_some();
  bool accept_one();
  static Fd open_reserve();
  bool answer_without_room();
  void turn_away(const Fd& fd);
  void go_deaf();
  bool has_room_for(uid_t uid) const;
  void admit(Fd fd);
  void on_ready(Client& client, std::uint32_t events);
  void serve(Client& client);
  bool may_read(const Client& client) const;
  void take_line(Client& client, std::string_view line);
  void take_call(Client& client, protocol::Call call);
  void ask(Client& client, protocol::Call call);
  void send(Client& client, std::string_view line);
  void settle(Client& client);
  void drop(Client& client);
  void sweep();
  Client* find(ClientId id);
  std::optional<protocol::Call> take_pending(Client& client, Tag tag);

  static bool any_matches(const std::vector<std::string>& patterns, std::string_view watch);
  std::string answer(Client& client, const protocol::Call& call, const Report& report);
  std::string report_line(const protocol::Call& call, Report report);
  std::string logs(const protocol::Call& call, const Report& report);
  std::string history(Client& client, const protocol::Call& call,
                      const std::vector<std::string>& watches);

  Fd listener_;
  Fd reserve_;  // Given up for the moment in which EMFILE has to be answered.
  Reactor& reactor_;
  ControlWorld& world_;
  Peers& peers_;
  ControlLimits limits_;
  std::optional<Time> deaf_until_;  // No descriptor was left even for BUSY.
  std::uint64_t last_client_ = 0;
  std::uint64_t turned_away_ = 0;
  int turns_ = 0;
  std::map<ClientId, std::unique_ptr<Client>> clients_;
  Watching watching_;  // Last: ends before the listener is closed.
};

}  // namespace supv
