#include "brain/notify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/units.h"

namespace supv {

namespace {

constexpr std::size_t kMaxMessage = 4096;
/// A run that talks without end gets its turn again at the next wait, like everyone else.
constexpr int kMessagesAtOnce = 32;
constexpr std::size_t kMaxPassed = 64;  // Descriptors beside one message; they are closed.

struct UnixName {
  sockaddr_un address{};
  socklen_t size = 0;
};

/// "@name" is an abstract name, everything else a path.
UnixName unix_name(const std::string& text) {
  UnixName name;
  name.address.sun_family = AF_UNIX;
  const std::size_t room = sizeof name.address.sun_path - 1;
  const std::size_t length = std::min(text.size(), room);
  std::memcpy(name.address.sun_path, text.data(), length);
  const bool abstract = text.front() == '@';
  if (abstract) name.address.sun_path[0] = '\0';
  name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
  return name;
}

std::string random_hex() {
  std::array<unsigned char, 16> bytes;
  check_sys(::getrandom(bytes.data(), bytes.size(), 0), "getrandom");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

/// Who sent a message. The descriptors that came along are closed when this goes: closing them is
/// also the answer to systemd-notify's BARRIER=1.
struct Sender {
  pid_t pid = 0;
  std::array<Fd, kMaxPassed> passed;
};

void read_control(msghdr& header, Sender& sender) {
  std::size_t count = 0;
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    if (at->cmsg_level != SOL_SOCKET) continue;
    if (at->cmsg_type == SCM_CREDENTIALS && at->cmsg_len >= CMSG_LEN(sizeof(ucred))) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(at), sizeof credentials);
      sender.pid = credentials.pid;
    }
    if (at->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t bytes = at->cmsg_len - CMSG_LEN(0);
    for (std::size_t i = 0; i + sizeof(int) <= bytes && count < kMaxPassed; i += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(at) + i, sizeof fd);
      sender.passed[count++].reset(fd);
    }
  }
}

bool is_alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

bool is_abstract(int fd) {
  sockaddr_un name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) < 0) return true;
  return size <= offsetof(sockaddr_un, sun_path) || name.sun_path[0] == '\0';
}

/// A datagram socket under that name; it tells who sends.
Fd bind_to(const std::string& address, bool by_path) {
  Fd fd(check_sys(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  const int on = 1;
  check_sys(::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "SO_PASSCRED");
  const UnixName name = unix_name(address);
  check_sys(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name.address), name.size), "bind");
  // For programs of the run that dropped their rights to a user of their own; the directory lets
  // in whom it lets in.
  if (by_path) check_sys(::chmod(address.c_str(), 0666), "chmod");
  return fd;
}

/// Drops the first message.
void take_away(int fd) {
  char byte = 0;
  [[maybe_unused]] const ssize_t size = ::recv(fd, &byte, 1, MSG_DONTWAIT);
}

}  // namespace

Notify::Notify(Reactor& reactor, std::string directory, Ears ears)
    : reactor_(reactor), directory_(std::move(directory)), ears_(std::move(ears)) {}

std::string Notify::path_of(RunId run) const {
  return fmt::format("{}/{:x}", directory_, static_cast<std::uint64_t>(run));
}

Notify::Opened Notify::open(RunId run, Reach reach) {
  std::string address = path_of(run);
  const bool fits = address.size() < sizeof(sockaddr_un::sun_path);
  const bool by_path = reach == Reach::path && fits && address.front() == '/';
  if (by_path) {
    if (::mkdir(directory_.c_str(), 0700) < 0 && errno != EEXIST) check_sys(-1, "mkdir");
    ::unlink(address.c_str());
  } else {
    address = "@supv/" + random_hex();
  }
  Fd fd = bind_to(address, by_path);
  Fd stored(check_sys(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0), "dup"));
  sockets_[run] = Socket{std::move(fd), by_path, false, std::nullopt};
  return {address, std::move(stored)};
}

void Notify::renew(RunId run, bool launched) {
  const std::string path = path_of(run);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  ::unlink(path.c_str());
  sockets_[run] = Socket{bind_to(path, true), true, false, std::nullopt};
  if (launched) listen(run);
}

void Notify::adopt(RunId run, Fd socket, bool launched) {
  const bool by_path = !is_abstract(socket.get());
  sockets_[run] = Socket{std::move(socket), by_path, false, std::nullopt};
  if (launched) listen(run);
}

void Notify::listen(RunId run) {
  const auto found = sockets_.find(run);
  if (found == sockets_.end() || found->second.watching) return;
  found->second.watching.emplace(reactor_, found->second.fd.get(), EPOLLIN,
                                 [this, run](std::uint32_t) { receive(run); });
}

void Notify::close(RunId run) {
  const auto found = sockets_.find(run);
  if (found == sockets_.end()) return;
  if (found->second.by_path) ::unlink(path_of(run).c_str());
  sockets_.erase(found);
}

void Notify::receive(RunId run) {
  for (int i = 0; i < kMessagesAtOnce; ++i) {
    // Looked up each time: what is heard may close the socket.
    auto found = sockets_.find(run);
    if (found == sockets_.end() || found->second.heard) return;
    const Heard heard = receive_one(run, found->second);
    if (heard == Heard::nothing) return;
    found = sockets_.find(run);
    if (found == sockets_.end()) return;
    if (heard == Heard::news) {
      found->second.heard = true;
      return heard_.push_back(run);
    }
    take_away(found->second.fd.get());
  }
}

void Notify::acted() {
  for (const RunId run : std::exchange(heard_, {})) {
    const auto found = sockets_.find(run);
    if (found == sockets_.end() || !std::exchange(found->second.heard, false)) continue;
    take_away(found->second.fd.get());
  }
}

/// The message stays in the socket.
Notify::Heard Notify::receive_one(RunId run, const Socket& socket) {
  std::array<char, kMaxMessage + 1> bytes;
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(kMaxPassed * sizeof(int))>
          control;
  iovec part{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size;
  do size = ::recvmsg(socket.fd.get(), &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0) return Heard::nothing;
  Sender sender;
  read_control(header, sender);
  if (size == 0 || static_cast<std::size_t>(size) > kMaxMessage) return Heard::no_news;
  if (sender.pid <= 0) return Heard::no_news;
  if (!ears_.of_tree(run, sender.pid)) {
    // A short-lived sender (systemd-notify) may be gone before we look. Then the path vouches for
    // it: it is the run's own, in a directory nobody else can enter. An abstract name does not,
    // anybody may have guessed or read it.
    if (!socket.by_path || is_alive(sender.pid)) return Heard::no_news;
  }
  return hear(run, {bytes.data(), static_cast<std::size_t>(size)});
}

Notify::Heard Notify::hear(RunId run, std::string_view message) {
  bool news = false;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    news = hear_line(run, message.substr(0, end)) || news;
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return news ? Heard::news : Heard::no_news;
}

bool Notify::hear_line(RunId run, std::string_view line) {
  constexpr std::string_view kMainPid = "MAINPID=";
  if (line == "READY=1") {
    ears_.say(ev::Ready{run});
    return true;
  }
  // `trigger` asks to be treated like one that has missed its keep-alive.
  if (line == "WATCHDOG=1" || line == "WATCHDOG=trigger") {
    ears_.say(ev::Alive{run, line == "WATCHDOG=trigger"});
    return true;
  }
  if (line.starts_with(kMainPid)) {
    const auto pid = parse_unsigned(line.substr(kMainPid.size()));
    if (pid && *pid >= 2 && *pid <= 0x7fffffff) ears_.main_pid(run, static_cast<pid_t>(*pid));
  }
  // STATUS=, ERRNO=, RELOADING=1, STOPPING=1, FDSTORE=1 ... change nothing we decide.
  return false;
}

}  // namespace supv
