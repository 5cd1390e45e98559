#include "brain/other_run.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "brain/account.h"
#include "brain/pid_file.h"
#include "keeper/proc.h"

namespace supv {
namespace {

constexpr std::int64_t kMs = 1000;
constexpr std::int64_t kSlackMs = 1000;  ///< Of start times, which are counted in ticks.

std::int64_t ms_of(const timespec& time) { return time.tv_sec * kMs + time.tv_nsec / 1'000'000; }

std::int64_t clock_ms(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return ms_of(time);
}

Moment moment_of(std::uint64_t ticks) {
  const auto since_boot = static_cast<std::int64_t>(ticks) * kMs / ::sysconf(_SC_CLK_TCK);
  const std::int64_t age = clock_ms(CLOCK_BOOTTIME) - since_boot;
  Moment moment;
  moment.wall_ms = clock_ms(CLOCK_REALTIME) - age;
  moment.time = Time(std::chrono::milliseconds(clock_ms(CLOCK_MONOTONIC) - age));
  return moment;
}

/// Every run of a supvd carries a limit of its own.
bool is_of_a_supvd(int pid) {
  rlimit own{};
  std::uint64_t limit = 0;
  return ::getrlimit(RLIMIT_LOCKS, &own) == 0 && proc::hard_locks(pid, limit) &&
         limit != own.rlim_max;
}

}  // namespace

std::optional<OtherRun> find_other(const ProcessSpec& process, const std::string& pid_file,
                                   std::string& why) {
  const auto file = look_at_pid_file(process, pid_file);
  if (!file) return std::nullopt;
  const int pid = file->pid;
  if (pid == 0) {
    why = fmt::format("pid file {} says no pid; nothing to take over", pid_file);
    return std::nullopt;
  }
  struct stat owner {};
  proc::Stat stat;
  if (::stat(fmt::format("/proc/{}", pid).c_str(), &owner) != 0 || !proc::read_stat(pid, stat) ||
      stat.dead())
    return std::nullopt;  // An old file; the process has ended.
  const auto refuse = [&](const char* reason) {
    why = fmt::format("pid file {} names {}, which {}; left alone", pid_file, pid, reason);
    return std::nullopt;
  };
  OtherRun other{pid, stat.start_time, moment_of(stat.start_time)};
  if (other.started.wall_ms > ms_of(file->written) + kSlackMs)
    return refuse("began after the file was written");
  if (owner.st_uid != find_account(process.uid, process.gid).uid)
    return refuse("is another user's");
  if (is_of_a_supvd(pid)) return refuse("another supvd runs");
  return other;
}

}  // namespace supv
