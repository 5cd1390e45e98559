#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/messages.h"

namespace supv {

/// What a peer may do.
enum class Right : std::uint8_t { none, read, all };

/// The user database as supvd sees it; tests put their own here.
struct UserBook {
  struct User {
    std::string name;
    gid_t group = 0;
  };
  std::function<std::optional<User>(uid_t uid)> user;
  /// Names of every group of a user, the primary one included.
  std::function<std::vector<std::string>(const User& user)> groups;
};
/// The host's (getpwuid, getgrouplist).
UserBook host_users();

/// Decides by user id who may do what; a pid says nothing, its owner may be gone by now.
class Peers {
 public:
  /// `self`: supvd's own user, which like root may do everything.
  explicit Peers(uid_t self, UserBook users = host_users());
  /// Takes over what a configuration says; what was looked up before is forgotten.
  void allow(const DaemonSpec& daemon);
  /// Forgets what was looked up more than a minute ago: groups change while supvd runs.
  void age(Time now);
  Right right_of(uid_t uid);
  /// The user's name, or the number as text.
  std::string name_of(uid_t uid);
  /// True for root and supvd's own user, for whom no limit per user counts.
  bool is_master(uid_t uid) const { return uid == 0 || uid == self_; }

 private:
  struct Known {
    std::string name;
    Right right = Right::none;
  };
  const Known& look_up(uid_t uid);

  uid_t self_;
  UserBook users_;
  std::vector<std::string> operators_;
  std::vector<std::string> readers_;
  Time looked_up_{};
  std::map<uid_t, Known> known_;  // Bounded; a look-up may go to a directory service.
};

/// The mode of the control socket: 0600, or 0666 when the peer check lets others in, unless
/// `daemon.socket_mode` says otherwise.
std::uint32_t socket_mode(const DaemonSpec& daemon);

/// The user at the other end of a connected socket, at the time it connected; empty when the
/// kernel does not say.
std::optional<uid_t> peer_uid(int fd);

}  // namespace supv
