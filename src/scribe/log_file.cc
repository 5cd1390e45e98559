#include "scribe/log_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

namespace supv::scribe {

LogFile::LogFile(std::string_view path, LogOwner owner)
    : path_(std::make_unique<char[]>(path.size() + 1)), owner_(owner) {
  std::copy(path.begin(), path.end(), path_.get());
}

Transfer LogFile::blocked(int error) {
  error_ = error;
  return Transfer::blocked;
}

bool LogFile::open_now() {
  Fd opened = open_log(std::string(path()), owner_);
  struct stat status {};
  if (!opened || fstat(opened.get(), &status) != 0) {
    error_ = errno;
    return false;
  }
  fd_ = std::move(opened);
  fresh_ = true;
  regular_ = S_ISREG(status.st_mode);
  socket_ = S_ISSOCK(status.st_mode);
  // A regular file that is our own standard output may be open for appending.
  const bool appending = (fcntl(fd_.get(), F_GETFL) & O_APPEND) != 0;
  way_ = regular_ && !appending ? Way::splice : Way::copy;
  return true;
}

bool LogFile::was_replaced() const {
  if (path().substr(0, 5) == "/dev/") return false;  // Our own standard output: no such name.
  struct stat ours {};
  struct stat named {};
  return fstat(fd_.get(), &ours) != 0 || lstat(path_.get(), &named) != 0 ||
         named.st_dev != ours.st_dev || named.st_ino != ours.st_ino;
}

bool LogFile::prepare(off_t& end) {
  const bool open_it = !fd_ || !fresh_ || (regular_ && was_replaced());
  struct stat status {};
  if (open_it && !open_now()) {
    // What was open before still serves if somebody can read it: renamed, that is, not removed.
    const int error = error_;
    if (!fd_ || fstat(fd_.get(), &status) != 0 || status.st_nlink == 0) {
      error_ = error;
      return false;
    }
  }
  if (!regular_) return true;
  if (fstat(fd_.get(), &status) != 0) {
    error_ = errno;
    return false;
  }
  end = status.st_size;
  return true;
}

Transfer LogFile::take(int fifo, std::size_t budget, Scratch& scratch) {
  off_t end = 0;
  if (!prepare(end)) return Transfer::blocked;
  return way_ == Way::splice ? splice_from(fifo, budget, end) : copy_from(fifo, budget, scratch);
}

Transfer LogFile::splice_from(int fifo, std::size_t budget, off_t end) {
  // One call takes the bytes out of the pipe and puts them into the file: killed at any point, no
  // byte is lost or doubled. The position is given each time because splice refuses O_APPEND.
  while (budget > 0) {
    const ssize_t moved =
        splice(fifo, nullptr, fd_.get(), &end, budget, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved > 0) {
      budget -= static_cast<std::size_t>(moved);
    } else if (moved == 0) {
      return Transfer::ended;
    } else if (errno == EAGAIN) {
      return Transfer::empty;
    } else if (errno != EINTR) {
      return blocked(errno);
    }
  }
  return Transfer::more;
}

bool LogFile::writable_now() const {
  pollfd target{fd_.get(), POLLOUT, 0};
  return poll(&target, 1, 0) == 1;
}

Transfer LogFile::copy_from(int fifo, std::size_t budget, Scratch& scratch) {
  if (!scratch.read_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return blocked(errno);
    scratch.read_end.reset(ends[0]);
    scratch.write_end.reset(ends[1]);
  }
  // Look (tee), write, and only then consume: killed in between, bytes are repeated, never lost.
  // Chunks of one page, because that much a pipe that polls writable takes without blocking.
  while (budget > 0) {
    if (!writable_now()) return blocked(EAGAIN);
    const ssize_t seen =
        tee(fifo, scratch.write_end.get(), scratch.bytes.size(), SPLICE_F_NONBLOCK);
    if (seen == 0) return Transfer::ended;
    if (seen < 0 && errno == EINTR) continue;
    if (seen < 0) return errno == EAGAIN ? Transfer::empty : blocked(errno);
    const auto size = static_cast<std::size_t>(seen);
    if (read(scratch.read_end.get(), scratch.bytes.data(), size) != seen) return blocked(EIO);
    const ssize_t written =
        socket_ ? send(fd_.get(), scratch.bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                : write(fd_.get(), scratch.bytes.data(), size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return blocked(errno);
    const auto done = static_cast<std::size_t>(written);
    if (read(fifo, scratch.bytes.data(), done) < 0) return blocked(errno);
    budget -= std::min(budget, done);
  }
  return Transfer::more;
}

}  // namespace supv::scribe
