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
/// One FIFO's share of a turn, so that a flood in one does not hold up the others.
constexpr std::size_t kTurn = std::size_t{1} << 20;
/// The unit of ticks(): 32 bits of them last 13 years.
constexpr std::chrono::milliseconds kTick{100};
/// Four times the default: rides out the gap between a scribe and its successor, and costs 2.5 KB
/// of kernel memory per FIFO (1 MiB would cost 10 KB); its pages exist only while they are filled.
constexpr int kPipeSize = 256 * 1024;

Fd open_fifo(const char* path) {
  Fd fifo(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!fifo || fstat(fifo.get(), &status) != 0) return {};
  if (!S_ISFIFO(status.st_mode)) {
    errno = EINVAL;
    return {};
  }
  return fifo;
}

bool same_inode(int a, int b) {
  struct stat first {};
  struct stat second {};
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

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
      drain(plain.id, kTurn);
    }
  }
}

void Scribe::follow(const Follow& message) {
  Fd fifo = open_fifo(message.fifo);
  if (!fifo) {
    tell(message.id, errno, 0);
    return;
  }
  if (!sole_) {
    const std::string path = message.fifo;
    sole_.emplace(path.substr(0, path.rfind('/') + 1));
  }
  if (Stream* old = find(message.id)) {
    if (unchanged(*old, message, fifo.get())) {
      old->leaving = false;
      return;
    }
    drain(message.id, kTurn);
    remove(message.id);
  }
  add(message, std::move(fifo));
}

bool Scribe::unchanged(const Stream& stream, const Follow& message, int fifo) const {
  const LogFile& log = *logs_[stream.log];
  const LogOwner owner{message.uid, message.gid, message.mode == 0 ? 0640 : message.mode};
  return log.path() == message.log && log.owner() == owner && same_inode(stream.fifo.get(), fifo);
}

void Scribe::add(const Follow& message, Fd fifo) {
  fcntl(fifo.get(), F_SETPIPE_SZ, kPipeSize);  // Not allowed: the default does.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = message.id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fifo.get(), &event) != 0) {
    tell(message.id, errno, 0);
    return;
  }
  Stream stream;
  stream.id = message.id;
  stream.fifo = std::move(fifo);
  stream.log =
      log_for(message.log, {message.uid, message.gid, message.mode == 0 ? 0640 : message.mode});
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), message.id,
                                   [](const Stream& s, std::uint64_t key) { return s.id < key; });
  streams_.insert(at, std::move(stream));
  drain(message.id, kTurn);
}

void Scribe::remove(std::uint64_t id) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  if (stream->unreported) tell(id, stream->error, stream->lost);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, stream->fifo.get(), nullptr);
  if (--logs_[stream->log]->users == 0) logs_[stream->log].reset();
  streams_.erase(streams_.begin() + (stream - streams_.data()));
}

std::uint32_t Scribe::log_for(const std::string& path, const LogOwner& owner) {
  std::size_t unused = logs_.size();
  for (std::size_t i = 0; i < logs_.size(); ++i) {
    if (!logs_[i]) {
      unused = i;
    } else if (logs_[i]->path() == path && logs_[i]->owner() == owner) {
      ++logs_[i]->users;
      return static_cast<std::uint32_t>(i);
    }
  }
  if (unused == logs_.size()) logs_.emplace_back();
  logs_[unused] = std::make_unique<LogFile>(path, owner);
  logs_[unused]->users = 1;
  return static_cast<std::uint32_t>(unused);
}

void Scribe::drain(std::uint64_t id, std::size_t budget) {
  Stream* stream = find(id);
  if (stream == nullptr) return;  // Forgotten by an earlier event of the same turn.
  LogFile& log = *logs_[stream->log];
  stream->blocked = false;
  switch (log.take(stream->fifo.get(), budget, scratch_)) {
    case Transfer::empty:
      stream->writers = true;
      return;
    case Transfer::ended:
      stream->writers = false;
      if (stream->leaving) remove(id);
      return;
    case Transfer::more:
      busy_.push_back(id);
      return;
    case Transfer::blocked:
      break;
  }
  stream->blocked = true;
  stream->error = static_cast<std::int16_t>(log.error());
  stream->unreported = stream->unreported || log.error() != EAGAIN;
  discard(*stream);
  // A run that is over must not be kept for a log that may never take anything again.
  if (stream->leaving && !stream->writers) return remove(id);
  if (!troubled_) retry_at_ = Clock::now() + paces_.retry;
  troubled_ = true;
  report(*stream);
}

void Scribe::discard(Stream& stream) {
  // Bytes wait in the FIFO as long as the worker is in no danger of being blocked. A write that
  // does not fit into the last page takes a new one, so a pipe may be full when it is half full;
  // a quarter is safe.
  pollfd end{stream.fifo.get(), 0, 0};
  stream.writers = poll(&end, 1, 0) == 0;  // Hung up: they have ended.
  const int keep =
      stream.leaving && !stream.writers ? 0 : fcntl(stream.fifo.get(), F_GETPIPE_SZ) / 4;
  int held = 0;
  while (ioctl(stream.fifo.get(), FIONREAD, &held) == 0 && (held == 0 || held > keep)) {
    const ssize_t dropped = read(stream.fifo.get(), scratch_.bytes.data(), scratch_.bytes.size());
    if (dropped == 0) stream.writers = false;  // Also when there never was one.
    if (dropped <= 0) return;
    stream.lost += static_cast<std::uint64_t>(dropped);
    stream.unreported = true;
  }
}

void Scribe::drain_all(std::size_t budget) {
  for (std::size_t i = streams_.size(); i-- > 0;) drain(streams_[i].id, budget);
}

void Scribe::retry() {
  troubled_ = false;
  retry_at_ = Clock::now() + paces_.retry;
  for (std::size_t i = streams_.size(); i-- > 0;) {
    if (streams_[i].blocked) drain(streams_[i].id, kTurn);
    if (i < streams_.size() && streams_[i].unreported) report(streams_[i]);
  }
}

void Scribe::report(Stream& stream) {
  if (!stream.unreported) return;
  const std::uint32_t now = ticks();
  if (stream.report_at <= now && tell(stream.id, stream.error, stream.lost)) {
    stream.lost = 0;
    stream.unreported = false;
    stream.report_at = now + static_cast<std::uint32_t>(paces_.report / kTick);
  } else {
    troubled_ = true;
  }
}

bool Scribe::tell(std::uint64_t id, int error, std::uint64_t bytes) {
  if (!channel_) return false;
  const Lost lost{Kind::lost, error, id, bytes};
  return send(channel_.get(), &lost, sizeof lost, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
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
