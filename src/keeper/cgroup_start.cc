#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "keeper/cgroup_trees.h"

/// Where trees can be made, and whether that works here. Once, when a keeper begins.
namespace supv {
namespace {

constexpr std::size_t kMaxBases = 64;

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// mountinfo writes blanks as \040.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Our own version 2 cgroup as a directory, or nothing.
std::string own_directory() {
  std::istringstream groups(read_all("/proc/self/cgroup"));
  std::string own;
  for (std::string line; std::getline(groups, line);)
    if (line.rfind("0::", 0) == 0) own = line.substr(3);
  if (own.empty() || own.find("/..") != std::string::npos) return {};
  std::istringstream mounts(read_all("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);) {
    const std::size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string::npos) continue;
    std::istringstream fields(line);
    std::string skipped, root, point;
    fields >> skipped >> skipped >> skipped >> root >> point;
    root = unescape(root);
    if (root == "/") root.clear();
    if (own.compare(0, root.size(), root) != 0) continue;
    std::string directory = unescape(point) + own.substr(root.size());
    while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
    return directory;
  }
  return {};
}

bool child_lives(const std::string& path, bool with_clone3) {
  const Fd dir(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd entrance(::openat(dir.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
  if (!dir || !entrance) return false;
  pid_t child = -1;
  if (with_clone3) {
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<std::uint64_t>(dir.get());
    child = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  } else {
    child = ::fork();
  }
  if (child == 0) ::_exit(with_clone3 || ::write(entrance.get(), "0", 1) == 1 ? 42 : 1);
  if (child < 0) return false;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

}  // namespace

Features enabled_features() {
  Features features;
  const char* text = ::geteuid() == ::getuid() ? std::getenv("SUPV_DISABLE") : nullptr;
  std::istringstream words(text != nullptr ? text : "");
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "cgroup") features.cgroup = false;
    if (word == "cgroup.kill") features.cgroup_kill = false;
    if (word == "clone3") features.clone3 = false;
    if (word == "pidfd_open") features.pidfd_open = false;
    if (word == "pidfs") features.pidfs = false;
    if (word == "close_range") features.close_range = false;
  }
  return features;
}

void CgroupTrees::start(const Fd& runtime, const Features& features) {
  can_kill_ = features.cgroup_kill;
  pidfds_ = features.pidfd_open;
  struct stat instance {};
  if (::fstat(runtime.get(), &instance) != 0) return;
  const std::string self = "/proc/self/fd/" + std::to_string(runtime.get());
  std::istringstream known(read_all(self + "/trees"));
  for (std::string line; std::getline(known, line) && bases_.size() < kMaxBases;)
    bases_.push_back(line);
  if (!features.cgroup) return;

  const std::string own = own_directory();
  if (own.empty()) return;
  // A directory removed and made again is another instance: it has none of the records.
  char name[64];
  std::snprintf(name, sizeof name, "/supv-%" PRIx64 "-%" PRIx64,
                static_cast<std::uint64_t>(instance.st_dev),
                static_cast<std::uint64_t>(instance.st_ino));
  const std::string base = own + name;
  if (base.size() > 400) return;
  if (::mkdir(base.c_str(), 0755) != 0 && errno != EEXIST) return;
  if (!works(base, features.clone3)) {
    ::rmdir(base.c_str());
    return;
  }
  auto place = std::find(bases_.begin(), bases_.end(), base);
  if (place == bases_.end()) {
    if (bases_.size() >= kMaxBases) return;
    const Fd file(::openat(runtime.get(), "trees",
                           O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    const std::string line = base + "\n";
    if (!file || ::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      return;
    place = bases_.insert(bases_.end(), base);
  }
  current_ = static_cast<std::uint32_t>(place - bases_.begin()) + 1;
}

bool CgroupTrees::works(const std::string& base, bool with_clone3) {
  const std::string probe = base + "/probe";
  if (::mkdir(probe.c_str(), 0755) != 0 && errno != EEXIST) return false;
  const bool enters = child_lives(probe, false);
  clone_into_ = enters && with_clone3 && child_lives(probe, true);
  ::rmdir(probe.c_str());
  return enters;
}

}  // namespace supv
