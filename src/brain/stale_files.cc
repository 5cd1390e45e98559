#include "brain/stale_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/fd.h"
#include "brain/pid_file.h"
#include "keeper/proc.h"

namespace supv {
namespace {

/// The directory of a path as the run sees it, and the name in it.
struct Place {
  Fd directory;
  std::string name;
};

Place place_of(const ProcessSpec& process, const std::string& file) {
  const std::string inside = file.starts_with('/') ? file : process.dir + "/" + file;
  const std::string path = process.chroot.text() + inside;
  const std::size_t slash = path.rfind('/');
  return {Fd(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
          path.substr(slash + 1)};
}

/// Only files of the run's user: a link on the way may lead anywhere.
bool is_ours(const Place& place, mode_t kind, uid_t uid) {
  struct stat status {};
  if (!place.directory || place.name.empty()) return false;
  if (::fstatat(place.directory.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return false;
  return (status.st_mode & S_IFMT) == kind && status.st_uid == uid;
}

bool listens(const Place& place) {
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // By way of the open directory: a path may be longer than an address.
  const std::string path = fmt::format("/proc/self/fd/{}/{}", place.directory.get(), place.name);
  if (!client || path.size() >= sizeof address.sun_path) return true;
  path.copy(address.sun_path, path.size());
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(client.get(), where, sizeof address) == 0) return true;
  return errno != ECONNREFUSED;
}

}  // namespace

void remove_stale(const fx::Spawn& spawn, uid_t uid) {
  if (!spawn.stale_pid_file.empty()) {
    const Place place = place_of(*spawn.process, spawn.stale_pid_file);
    const int pid = read_pid_file(*spawn.process, spawn.stale_pid_file);
    proc::Stat stat;
    const bool lives = pid != 0 && proc::read_stat(pid, stat) && !stat.dead();
    if (!lives && is_ours(place, S_IFREG, uid))
      ::unlinkat(place.directory.get(), place.name.c_str(), 0);
  }
  if (spawn.stale_socket.empty()) return;
  const Place place = place_of(*spawn.process, spawn.stale_socket);
  if (is_ours(place, S_IFSOCK, uid) && !listens(place))
    ::unlinkat(place.directory.get(), place.name.c_str(), 0);
}

}  // namespace supv
