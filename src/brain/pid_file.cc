#include "brain/pid_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <string_view>

#include "base/fd.h"
#include "base/units.h"

namespace supv {

namespace {

constexpr std::size_t kMaxPidFile = 32;
constexpr int kMaxPid = 1 << 22;  // PID_MAX_LIMIT of 64-bit kernels; pid_max is never more.

int open_at(int directory, const std::string& path, std::uint64_t flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = flags;
  how.resolve = resolve;
  const long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(fd);
  // A kernel before 5.6, or a container's old filter. Without a chroot the plain call finds the
  // same file; below one it could be led out, so there is none.
  if ((resolve & RESOLVE_IN_ROOT) != 0) return -1;
  return ::openat(directory, path.c_str(), static_cast<int>(flags));
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Opens `path` for looking at only, where the run sees it: below its chroot, relative to its dir.
int open_where_run_sees(const ProcessSpec& process, const std::string& path, bool follow_last) {
  const std::string root = process.chroot.empty() ? "/" : process.chroot;
  const Fd base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return -1;
  const std::string full =
      !path.empty() && path.front() == '/' ? path : fmt::format("{}/{}", process.dir, path);
  // Links in the middle are normal (/var/run, Capistrano's tmp/pids); magic ones (/proc) never are.
  std::uint64_t resolve = RESOLVE_NO_MAGICLINKS;
  if (!process.chroot.empty()) resolve |= RESOLVE_IN_ROOT;
  std::uint64_t flags = O_PATH | O_CLOEXEC;
  if (!follow_last) flags |= O_NOFOLLOW;
  return open_at(base.get(), full, flags, resolve);
}

}  // namespace

int read_pid_file(const ProcessSpec& process, const std::string& path) {
  const auto file = look_at_pid_file(process, path);
  return file ? file->pid : 0;
}

std::optional<PidFile> look_at_pid_file(const ProcessSpec& process, const std::string& path) {
  // A run under another user could point the file itself elsewhere; ours may be a link.
  const bool own = process.uid.empty() && process.gid.empty();
  const Fd place(open_where_run_sees(process, path, own));
  if (!place) return std::nullopt;
  struct stat status {};
  // Looked at before it is opened: opening a FIFO or a device has effects.
  if (::fstat(place.get(), &status) < 0 || !S_ISREG(status.st_mode)) return PidFile{};
  PidFile found{0, status.st_mtim};
  const Fd file(::open(fmt::format("/proc/self/fd/{}", place.get()).c_str(),
                       O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return found;
  std::array<char, kMaxPidFile + 1> bytes;
  const ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
  if (size <= 0 || static_cast<std::size_t>(size) > kMaxPidFile) return found;
  const auto number = parse_unsigned(trimmed({bytes.data(), static_cast<std::size_t>(size)}));
  if (number && *number >= 2 && *number <= kMaxPid) found.pid = static_cast<int>(*number);
  return found;
}

}  // namespace supv
