#include "plugin/confine.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "plugin/library.h"

namespace supv {
namespace {

constexpr rlim_t kDescriptors = 256;
constexpr int kNice = 5;
constexpr uid_t kNobody = 65534;

[[noreturn]] void refuse(const std::string& step) {
  throw BadPlugin(fmt::format("cannot confine it: {}: {}", step, std::strerror(errno)));
}

struct Owner {
  uid_t uid;
  gid_t gid;
};

std::optional<Owner> owner_of(const std::string& user) {
  if (user.empty() && ::geteuid() != 0) return std::nullopt;
  const std::string name = user.empty() ? "nobody" : user;
  errno = 0;
  if (const passwd* found = ::getpwnam(name.c_str())) return Owner{found->pw_uid, found->pw_gid};
  if (user.empty()) return Owner{kNobody, kNobody};  // A container without /etc/passwd.
  throw BadPlugin(fmt::format("cannot confine it: there is no user '{}'", user));
}

void become(const Owner& owner) {
  if (owner.uid == ::geteuid() && owner.uid == ::getuid()) return;
  if (::setgroups(0, nullptr) < 0) refuse("setgroups");
  if (::setresgid(owner.gid, owner.gid, owner.gid) < 0) refuse("setresgid");
  if (::setresuid(owner.uid, owner.uid, owner.uid) < 0) refuse("setresuid");
  // What another user's /proc/self shows is root's; the plugin's own file is opened through it.
  if (::prctl(PR_SET_DUMPABLE, 1) < 0) refuse("PR_SET_DUMPABLE");
}

void limit(decltype(RLIMIT_CORE) what, rlim_t value, const char* name) {
  rlimit now{};
  if (::getrlimit(what, &now) < 0) refuse(name);
  const rlim_t most = now.rlim_max == RLIM_INFINITY ? value : std::min(value, now.rlim_max);
  const rlimit then{most, most};
  if (::setrlimit(what, &then) < 0) refuse(name);
}

/// Processes and threads of a user: what RLIMIT_NPROC counts.
rlim_t tasks_of(uid_t uid) {
  rlim_t count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.empty() || name[0] < '0' || name[0] > '9') continue;
    std::ifstream status(entry.path() / "status");
    bool ours = false;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Uid:")) {
        std::istringstream fields(line.substr(4));
        uid_t real = 0;
        fields >> real;
        ours = real == uid;
      } else if (ours && line.starts_with("Threads:")) {
        count += static_cast<rlim_t>(std::stoul(line.substr(8)));
      }
    }
  }
  return count;
}

}  // namespace

void confine(const Confinement& limits) {
  const auto owner = owner_of(limits.user);
  limit(RLIMIT_CORE, 0, "RLIMIT_CORE");
  limit(RLIMIT_NOFILE, kDescriptors, "RLIMIT_NOFILE");
  limit(RLIMIT_NPROC, tasks_of(owner ? owner->uid : ::getuid()) + limits.tasks, "RLIMIT_NPROC");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // A sanitizer's shadow is larger than any limit.
  limit(RLIMIT_DATA, static_cast<rlim_t>(limits.memory), "RLIMIT_DATA");
#endif
  ::setpriority(PRIO_PROCESS, 0, kNice);
  int parents_death = 0;
  ::prctl(PR_GET_PDEATHSIG, &parents_death);
  if (owner) become(*owner);
  ::prctl(PR_SET_PDEATHSIG, parents_death);  // Another user makes the kernel forget it.
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) refuse("PR_SET_NO_NEW_PRIVS");
}

}  // namespace supv
