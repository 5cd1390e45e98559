// The FIFOs: taking them on, carrying what is in them, and what becomes of it when a log takes
// nothing.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <utility>

#include "scribe/scribe.h"

namespace supv::scribe {
namespace {

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

}  // namespace

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
      hold_open(*old);
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
  hold_open(stream);
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), message.id,
                                   [](const Stream& s, std::uint64_t key) { return s.id < key; });
  streams_.insert(at, std::move(stream));
  drain(message.id, kTurn);
}

/// As long as we are a writer too, no run's end or start wakes us: it would be in the way of those
/// who have to act on it.
void Scribe::hold_open(Stream& stream) const {
  if (stream.writer || !channel_) return;
  const std::string again = "/proc/self/fd/" + std::to_string(stream.fifo.get());
  stream.writer.reset(open(again.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
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

}  // namespace supv::scribe
