#include "brain/instant_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"

namespace supv {

namespace {

constexpr std::size_t kMaxFile = std::size_t{64} * 1024;

bool permitted(const std::string& path) {
  const bool kernels = path.rfind("/proc/", 0) == 0 || path.rfind("/sys/", 0) == 0;
  return kernels && (path + "/").find("/../") == std::string::npos;
}

InstantFiles::Read read_now(const std::string& path) {
  if (!permitted(path)) return {{}, EACCES};
  // Links below /proc/PID lead to anything, a FIFO for example.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  struct stat about {};
  if (!fd || ::fstat(fd.get(), &about) < 0) return {{}, errno};
  if (!S_ISREG(about.st_mode)) return {{}, S_ISDIR(about.st_mode) ? EISDIR : EACCES};
  InstantFiles::Read result;
  std::array<char, 4096> bytes;
  while (result.text.size() < kMaxFile) {
    const ssize_t count = ::read(fd.get(), bytes.data(), bytes.size());
    if (count < 0) return {{}, errno};
    if (count == 0) break;
    result.text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  return result;
}

}  // namespace

const InstantFiles::Read& InstantFiles::read(Time now, const std::string& path) {
  if (now_ != now) {
    now_ = now;
    files_.clear();
  }
  const auto [found, fresh] = files_.try_emplace(path);
  if (fresh) found->second = read_now(path);
  return found->second;
}

}  // namespace supv
