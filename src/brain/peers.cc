#include "brain/peers.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

#include <algorithm>

namespace supv {
namespace {

constexpr std::size_t kMaxEntry = 1 << 20;  // Groups of a directory service can be long.
constexpr std::size_t kMaxKnown = 1024;

std::optional<UserBook::User> host_user(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> room(4096);
  int error = 0;
  while ((error = ::getpwuid_r(uid, &entry, room.data(), room.size(), &found)) == ERANGE &&
         room.size() < kMaxEntry) {
    room.resize(room.size() * 2);
  }
  if (error != 0 || found == nullptr) return std::nullopt;
  return UserBook::User{entry.pw_name, entry.pw_gid};
}

std::string group_name(gid_t gid) {
  group entry{};
  group* found = nullptr;
  std::vector<char> room(4096);
  int error = 0;
  while ((error = ::getgrgid_r(gid, &entry, room.data(), room.size(), &found)) == ERANGE &&
         room.size() < kMaxEntry) {
    room.resize(room.size() * 2);
  }
  return error != 0 || found == nullptr ? std::to_string(gid) : entry.gr_name;
}

std::vector<std::string> host_groups(const UserBook::User& user) {
  std::vector<gid_t> ids(64);
  int count = static_cast<int>(ids.size());
  if (::getgrouplist(user.name.c_str(), user.group, ids.data(), &count) < 0) {
    ids.resize(static_cast<std::size_t>(std::max(count, 1)));
    count = static_cast<int>(ids.size());
    // Somebody may have been added in between: what fitted is taken.
    if (::getgrouplist(user.name.c_str(), user.group, ids.data(), &count) < 0) {
      count = static_cast<int>(ids.size());
    }
  }
  ids.resize(static_cast<std::size_t>(std::max(count, 0)));
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const gid_t id : ids) names.push_back(group_name(id));
  return names;
}

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

UserBook host_users() { return {host_user, host_groups}; }

Peers::Peers(uid_t self, UserBook users) : self_(self), users_(std::move(users)) {}

void Peers::allow(const DaemonSpec& daemon) {
  operators_ = daemon.operators;
  readers_ = daemon.readers;
  known_.clear();
}

void Peers::age(Time now) {
  if (now - looked_up_ < std::chrono::minutes(1)) return;
  looked_up_ = now;
  known_.clear();
}

Right Peers::right_of(uid_t uid) {
  // Without a look-up: root must get in when the user database does not answer.
  return is_master(uid) ? Right::all : look_up(uid).right;
}

std::string Peers::name_of(uid_t uid) { return uid == 0 ? "root" : look_up(uid).name; }

const Peers::Known& Peers::look_up(uid_t uid) {
  const auto found = known_.find(uid);
  if (found != known_.end()) return found->second;
  if (known_.size() >= kMaxKnown) known_.clear();
  const std::optional<UserBook::User> user = users_.user(uid);
  Known known{user ? user->name : std::to_string(uid), Right::none};
  if (!operators_.empty() || !readers_.empty()) {
    std::vector<std::string> names{known.name, std::to_string(uid)};
    if (user) {
      for (const std::string& group : users_.groups(*user)) names.push_back("@" + group);
    }
    const auto listed = [&names](const std::vector<std::string>& list) {
      return std::any_of(names.begin(), names.end(),
                         [&list](const std::string& name) { return contains(list, name); });
    };
    known.right = listed(operators_) ? Right::all : listed(readers_) ? Right::read : Right::none;
  }
  return known_.emplace(uid, std::move(known)).first->second;
}

std::uint32_t socket_mode(const DaemonSpec& daemon) {
  if (daemon.socket_mode) return *daemon.socket_mode;
  return daemon.operators.empty() && daemon.readers.empty() ? 0600 : 0666;
}

std::optional<uid_t> peer_uid(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof peer) {
    return std::nullopt;
  }
  return peer.uid;
}

}  // namespace supv
