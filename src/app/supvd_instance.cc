#include "app/supvd_instance.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "base/text.h"
#include "base/units.h"
#include "keeper/run_keeper.h"

namespace supv {
namespace {

constexpr int kPatienceMs = 3000;  // For the remains of a supvd that has just died.
constexpr int kPaceMs = 50;

[[noreturn]] void refuse(const std::string& what, const std::string& path) {
  throw CannotStart(fmt::format("{} {}: {}", what, printable(path), std::strerror(errno)));
}

[[noreturn]] void refuse_second(const std::string& where, int pid) {
  throw CannotStart(
      fmt::format("another supvd{} already uses {}; to give it a configuration: supvctl load FILE",
                  pid > 0 ? fmt::format(" (pid {})", pid) : "", printable(where)));
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

void make_parents(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    mkdir(path.substr(0, at).c_str(), 0755);  // What is wrong shows when the last one is made.
  }
}

sockaddr_un socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw CannotStart(
        fmt::format("the socket path is {} bytes long, and a socket may have {} at most: {}; "
                    "choose a shorter --socket",
                    path.size(), sizeof address.sun_path - 1, printable(path)));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// The pid of whoever listens there, 0 when that is nobody, -1 when it cannot be told.
int listener_pid(const sockaddr_un& address) {
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno == EAGAIN ? -1 : 0;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return peer.pid > 0 ? peer.pid : -1;
}

/// Removes the socket of a supvd that has gone. Only the holder of the lock comes here.
void remove_old_socket(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode)) {
    throw CannotStart(fmt::format("{} is in the way: it is no socket", printable(path)));
  }
  int pid = 0;
  for (int waited = 0; (pid = listener_pid(address)) != 0; waited += kPaceMs) {
    if (waited >= kPatienceMs) refuse_second(path, pid);
    poll(nullptr, 0, kPaceMs);
  }
  if (unlink(path.c_str()) != 0) refuse("cannot remove the old socket", path);
}

Fd bind_socket(const std::string& path, std::uint32_t mode) {
  const sockaddr_un address = socket_address(path);
  remove_old_socket(path, address);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0) refuse("cannot bind the socket", path);
  if (chmod(path.c_str(), mode) != 0) refuse("cannot set the mode of", path);
  return fd;
}

/// Everybody may pass through a socket's directory, but only we may change it.
void check_socket_directory(const std::string& path) {
  struct stat status {};
  const std::string parent = parent_of(path);
  if (stat(parent.c_str(), &status) != 0) {
    const bool shared = geteuid() == 0;
    make_own_directory(parent, shared ? 0755 : 0700);
    return;
  }
  const bool owned = status.st_uid == 0 || status.st_uid == geteuid();
  const bool sticky = (status.st_mode & S_ISVTX) != 0;
  if (!owned || ((status.st_mode & 022) != 0 && !sticky)) {
    throw CannotStart(
        fmt::format("the socket's directory {} can be changed by other users", printable(parent)));
  }
  // The default directory under /tmp could have been made by somebody else before us.
  if (parent == fmt::format("/tmp/supv-{}", geteuid())) make_own_directory(parent, 0700);
}

int pid_in(const Fd& fd) {
  std::array<char, 32> text{};
  const ssize_t size = pread(fd.get(), text.data(), text.size(), 0);
  if (size <= 0) return 0;
  std::string_view digits(text.data(), static_cast<std::size_t>(size));
  digits = digits.substr(0, digits.find('\n'));
  return static_cast<int>(parse_unsigned(digits).value_or(0));
}

}  // namespace

void make_own_directory(const std::string& path, std::uint32_t mode) {
  make_parents(path);
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) refuse("cannot make the directory", path);
  const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) refuse("cannot use the directory", path);
  if (status.st_uid != geteuid() && (status.st_uid != 0 || mode == 0700)) {
    throw CannotStart(
        fmt::format("{} belongs to another user (uid {})", printable(path), status.st_uid));
  }
  const std::uint32_t forbidden = mode == 0700 ? 077 : 022;
  if ((status.st_mode & forbidden) == 0) return;
  // Ours, but too open: an old umask, most likely. Nobody else could have put anything there
  // that we would trust, since every file in it is checked again when it is opened.
  if (status.st_uid != geteuid() || fchmod(fd.get(), status.st_mode & 07777 & ~forbidden) != 0) {
    throw CannotStart(fmt::format("{} is open to other users (mode {:o})", printable(path),
                                  status.st_mode & 07777));
  }
}

Fd lock_state(const Settings& settings) {
  const std::string path = settings.state_dir + "/supvd.lock";
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) refuse("cannot write in the state directory:", path);
  for (int waited = 0; flock(fd.get(), LOCK_EX | LOCK_NB) != 0; waited += kPaceMs) {
    // A child of a dead keeper may hold it until its exec; a living supvd holds it for good.
    const int pid = pid_in(fd);
    const bool alive = pid > 0 && pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM);
    if (alive || waited >= kPatienceMs) refuse_second(settings.state_dir, pid);
    poll(nullptr, 0, kPaceMs);
  }
  return fd;
}

Instance claim_instance(const Settings& settings, std::uint32_t socket_mode) {
  socket_address(settings.socket);  // Too long: say so before anything is made.
  check_socket_directory(settings.socket);
  make_own_directory(settings.runtime_dir, 0700);
  make_own_directory(settings.state_dir, 0700);
  make_own_directory(settings.log_dir, 0755);
  Instance instance;
  try {
    instance.lock = take_lock(settings.runtime_dir);
  } catch (const KeeperError& error) {
    if (error.running_pid > 0) refuse_second(settings.socket, error.running_pid);
    throw CannotStart(error.what());
  }
  instance.state_lock = lock_state(settings);
  instance.listener = bind_socket(settings.socket, socket_mode);
  return instance;
}

void write_pid(const Settings& settings, const Fd& state_lock) {
  const std::string text = fmt::format("{}\n", getpid());
  if (ftruncate(state_lock.get(), 0) == 0) {
    // Only says who holds the lock; the lock itself does not depend on it.
    [[maybe_unused]] const ssize_t written = pwrite(state_lock.get(), text.data(), text.size(), 0);
  }
  if (settings.pid_file.empty()) return;
  const std::string draft = settings.pid_file + ".new";
  unlink(draft.c_str());
  const Fd fd(open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      rename(draft.c_str(), settings.pid_file.c_str()) != 0) {
    refuse("cannot write the pid file", settings.pid_file);
  }
}

void leave_instance(const Settings& settings) {
  unlink(settings.socket.c_str());
  if (settings.pid_file.empty()) return;
  const Fd fd(open(settings.pid_file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (fd && pid_in(fd) == getpid()) unlink(settings.pid_file.c_str());
}

}  // namespace supv
