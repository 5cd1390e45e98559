#include "scribe/scribe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "scribe/run_scribe.h"

namespace supv::scribe {
namespace {

constexpr std::uint64_t kChannelTag = kLastId + 1;
constexpr std::uint64_t kSignalTag = kLastId + 2;
template <std::size_t Size>
bool terminated(const char (&text)[Size]) {
  return std::memchr(text, '\0', Size) != nullptr;
}

Fd signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return Fd(check_sys(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

}  // namespace

Scribe::Scribe(Fd channel, Paces paces)
    : paces_(paces),
      epoll_(check_sys(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      channel_(std::move(channel)),
      signals_(signal_descriptor()) {
  check_sys(fcntl(channel_.get(), F_SETFL, O_NONBLOCK), "fcntl(channel)");
  check_sys(fcntl(channel_.get(), F_SETFD, FD_CLOEXEC), "fcntl(channel)");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kChannelTag;
  check_sys(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel_.get(), &event), "epoll_ctl");
  event.data.u64 = kSignalTag;
  check_sys(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, signals_.get(), &event), "epoll_ctl");
}

Scribe::Stream* Scribe::find(std::uint64_t id) {
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), id,
                                   [](const Stream& s, std::uint64_t key) { return s.id < key; });
  return at != streams_.end() && at->id == id ? &*at : nullptr;
}

void Scribe::on_channel() {
  for (;;) {
    alignas(Follow) char message[sizeof(Follow)];
    const ssize_t size = recv(channel_.get(), message, sizeof message, MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) break;
    on_message(message, static_cast<std::size_t>(size));
  }
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, channel_.get(), nullptr);
  channel_.reset();
  alone_since_ = Clock::now();
  for (Stream& stream : streams_) stream.writer.reset();  // From now on it counts who else writes.
}

void Scribe::on_message(const void* message, std::size_t size) {
  Kind kind{};
  if (size < sizeof kind) return;
  std::memcpy(&kind, message, sizeof kind);
  if (kind == Kind::follow && size == sizeof(Follow)) {
    Follow wanted;
    std::memcpy(&wanted, message, sizeof wanted);
    if (terminated(wanted.fifo) && terminated(wanted.log) && wanted.id <= kLastId) follow(wanted);
    return;
  }
  if (size != sizeof(Plain)) return;
  Plain plain;
  std::memcpy(&plain, message, sizeof plain);
  if (kind == Kind::reopen) {
    for (const auto& log : logs_) {
      if (log) log->reopen();
    }
    drain_all(kTurn);  // Also opens the new files at once, not only with the next line.
  } else if (kind == Kind::forget) {
    if (Stream* stream = find(plain.id)) {
      stream->leaving = true;
      stream->writer.reset();
      drain(plain.id, kTurn);
    }
  }
}

std::uint32_t Scribe::ticks() const {
  return static_cast<std::uint32_t>((Clock::now() - born_) / kTick);
}

bool Scribe::finished() const {
  if (terminated_) return true;
  if (!alone_since_ || Clock::now() < *alone_since_ + paces_.linger || !busy_.empty()) return false;
  return std::none_of(streams_.begin(), streams_.end(),
                      [](const Stream& stream) { return stream.writers; });
}

int Scribe::timeout() const {
  if (!busy_.empty()) return 0;
  std::optional<Clock::time_point> wake;
  if (troubled_) wake = retry_at_;
  const Clock::time_point now = Clock::now();
  if (alone_since_ && now < *alone_since_ + paces_.linger) {
    const Clock::time_point alone = *alone_since_ + paces_.linger;
    wake = wake ? std::min(*wake, alone) : alone;
  }
  if (!wake) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*wake - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60000));
}

void Scribe::turn() {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, timeout());
  SUPV_CHECK(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t tag = events[i].data.u64;
    if (tag == kChannelTag) {
      on_channel();
    } else if (tag == kSignalTag) {
      terminated_ = true;
    } else {
      drain(tag, kTurn);
    }
  }
}

void Scribe::run() {
  bool looked_for_writers = false;
  while (!finished()) {
    const std::vector<std::uint64_t> again = std::exchange(busy_, {});
    for (const std::uint64_t id : again) drain(id, kTurn);
    turn();
    if (troubled_ && Clock::now() >= retry_at_) retry();
    if (alone_since_ && !looked_for_writers && Clock::now() >= *alone_since_ + paces_.linger) {
      looked_for_writers = true;
      drain_all(kTurn);
    }
  }
  drain_all(16 * kTurn);
}

}  // namespace supv::scribe

namespace supv {

int run_scribe(int channel_fd) {
  // A descriptor for each FIFO and each log.
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  umask(0);  // Logs get the mode that was asked for.
  scribe::Scribe(Fd(channel_fd), scribe::Paces{}).run();
  return 0;
}

}  // namespace supv
