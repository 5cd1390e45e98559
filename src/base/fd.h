#pragma once

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace supv {

/// An owned file descriptor: moved, never copied, closed once.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  /// The number, or -1 when nothing is owned.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Gives the number away; the caller closes it.
  int release() { return std::exchange(fd_, -1); }
  /// Closes what is owned and takes `fd` instead.
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

/// Passes a system call's result through, or throws std::system_error naming `what` when it is
/// negative. Only adapters use it, and each adapter catches at one named place.
template <typename Result>
Result check_sys(Result result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

}  // namespace supv
