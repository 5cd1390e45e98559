#include "brain/init_system.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "base/fd.h"
#include "base/units.h"

namespace supv {

namespace {

std::string value_of(const Environment& env, const char* name) {
  const auto found = env.find(name);
  return found == env.end() ? std::string() : found->second;
}

}  // namespace

InitSystem::InitSystem(const Environment& own, pid_t keeper)
    : socket_(value_of(own, "NOTIFY_SOCKET")), keeper_(keeper) {
  const bool usable = socket_.size() > 1 && socket_.size() < sizeof(sockaddr_un::sun_path) &&
                      (socket_.front() == '/' || socket_.front() == '@');
  if (!usable) socket_.clear();
  const std::string pid = value_of(own, "WATCHDOG_PID");
  const auto period = parse_unsigned(value_of(own, "WATCHDOG_USEC"));
  const bool for_us = pid.empty() || pid == std::to_string(keeper);
  if (socket_.empty() || !for_us || !period || *period < 2 || *period > 86'400'000'000) return;
  pace_ = std::chrono::microseconds(*period / 2);
  next_ = Time{};
}

void InitSystem::ready() { say("READY=1"); }

void InitSystem::reloading(Time now) {
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  say(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                  duration_cast<microseconds>(now.time_since_epoch()).count()));
}

void InitSystem::stopping() { say("STOPPING=1"); }

void InitSystem::tick(Time now) {
  if (!next_ || *next_ > now) return;
  say("WATCHDOG=1");
  next_ = now + pace_;
}

void InitSystem::say(std::string_view text) {
  if (socket_.empty()) return;
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  const bool abstract = socket_.front() == '@';
  if (abstract) address.sun_path[0] = '\0';
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
  msghdr header{};
  header.msg_name = &address;
  header.msg_namelen =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size() + (abstract ? 0 : 1));
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* credentials = CMSG_FIRSTHDR(&header);
  credentials->cmsg_level = SOL_SOCKET;
  credentials->cmsg_type = SCM_CREDENTIALS;
  credentials->cmsg_len = CMSG_LEN(sizeof(ucred));
  // As the main process: the usual NotifyAccess=main hears nobody else. Only root may; without
  // that right a unit needs NotifyAccess=all.
  const ucred main{keeper_, ::getuid(), ::getgid()};
  std::memcpy(CMSG_DATA(credentials), &main, sizeof main);
  if (::sendmsg(fd.get(), &header, MSG_NOSIGNAL) >= 0 || errno != EPERM) return;
  header.msg_control = nullptr;
  header.msg_controllen = 0;
  [[maybe_unused]] const ssize_t ignored = ::sendmsg(fd.get(), &header, MSG_NOSIGNAL);
}

}  // namespace supv
