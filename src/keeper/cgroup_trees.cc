#include "keeper/cgroup_trees.h"

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
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "keeper/pidfd.h"
#include "keeper/proc.h"

namespace supv {
namespace {

constexpr std::size_t kMaxBases = 64;
constexpr int kDepth = 16;  // Of cgroups that a worker makes inside its own.

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

bool write_text(int dir, const char* path, const char* text) {
  const Fd fd(::openat(dir, path, O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text, std::strlen(text)) >= 0;
}

Fd open_path(const char* path) { return Fd(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)); }

bool populated(int dir, const char* events = "cgroup.events") {
  char text[256];
  if (proc::read_small(dir, events, text, sizeof text) <= 0) return false;
  return std::strstr(text, "populated 1") != nullptr;
}

/// Every pid of cgroup.procs here and below. 0 stands for a process outside our pid namespace.
template <typename VisitPid>
void each_pid(int dir, int depth, VisitPid& visit) {
  const Fd procs(::openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  char buffer[2048];
  std::int32_t pid = -1;
  for (ssize_t got; procs && (got = ::read(procs.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t i = 0; i < got; ++i) {
      if (buffer[i] >= '0' && buffer[i] <= '9') {
        pid = std::max(pid, 0) * 10 + (buffer[i] - '0');
      } else if (pid >= 0) {
        visit(pid);
        pid = -1;
      }
    }
  }
  if (depth == 0) return;
  struct Down {
    VisitPid& visit;
    int depth;
  } down{visit, depth};
  proc::each_directory(
      dir,
      [](void* context, int parent, const char* name) {
        auto* self = static_cast<Down*>(context);
        const Fd below(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (below) each_pid(below.get(), self->depth - 1, self->visit);
      },
      &down);
}

void remove_below(int dir, int depth) {
  proc::each_directory(
      dir,
      [](void* context, int parent, const char* name) {
        const int left = *static_cast<int*>(context) - 1;
        const Fd below(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (below && left > 0) remove_below(below.get(), left);
        ::unlinkat(parent, name, AT_REMOVEDIR);
      },
      &depth);
}

void remove_path(const char* path) {
  if (::rmdir(path) == 0 || errno == ENOENT) return;
  const Fd dir = open_path(path);
  if (dir) remove_below(dir.get(), kDepth);
  ::rmdir(path);
}

/// supv-INSTANCE/rRUN: what the path of a process in this tree contains, whatever the mount or the
/// namespace shows before it.
const char* tail_of(const char* path) {
  const char* tail = std::strrchr(path, '/');
  if (tail == nullptr) return path;
  while (tail > path && tail[-1] != '/') --tail;
  return tail;
}

void kill_path(const char* path, bool can_kill, bool pidfds) {
  const Fd dir = open_path(path);
  if (!dir) return;
  if (can_kill && write_text(dir.get(), "cgroup.kill", "1")) return;
  // Frozen, it cannot fork away from under the list. The dying need no thaw; the rest gets it.
  const bool frozen = write_text(dir.get(), "cgroup.freeze", "1");
  auto kill_one = [tail = tail_of(path), pidfds](std::int32_t pid) {
    if (pid <= 1) return;
    const Process process(pid, pidfds);
    if (proc::in_cgroup(pid, tail)) process.signal(SIGKILL);
  };
  each_pid(dir.get(), kDepth, kill_one);
  if (frozen) write_text(dir.get(), "cgroup.freeze", "0");
}

bool child_lives(const std::string& path, bool with_clone3) {
  const Fd dir = open_path(path.c_str());
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
  remove_path(probe.c_str());
  return enters;
}

CgroupTrees::Path CgroupTrees::path_of(const Life& life) const {
  Path path{};
  const std::uint32_t base = life.tree / 2;
  if (base == 0 || base > bases_.size()) return path;
  const char kind = life.tree % 2 != 0 ? 'k' : 'r';
  const wire::Run run = life.host != 0 ? life.host : life.run;
  std::snprintf(path.text, sizeof path.text, "%s/%c%" PRIx64, bases_[base - 1].c_str(), kind, run);
  return path;
}

int CgroupTrees::make(Life& life) {
  life.tree = current_ * 2 + ((life.flags & wire::kLeaveTree) != 0 ? 1 : 0);
  const Path path = path_of(life);
  if (::mkdir(path.text, 0755) == 0) return 0;
  // Somebody tidied up: the instance's directory was empty.
  if (errno == ENOENT && ::mkdir(bases_[current_ - 1].c_str(), 0755) == 0)
    return ::mkdir(path.text, 0755) == 0 ? 0 : errno;
  if (errno != EEXIST) return errno;
  // Left over and empty: a fresh one, since what was ever killed may kill what is born in it.
  remove_path(path.text);
  return ::mkdir(path.text, 0755) == 0 ? 0 : errno;
}

void CgroupTrees::remove(const Life& life) const {
  if (life.tree != 0) remove_path(path_of(life).text);
}

Left CgroupTrees::count(const Life& life) const {
  Left left;
  const Path path = path_of(life);
  char events[sizeof path.text + 16];
  std::snprintf(events, sizeof events, "%s/cgroup.events", path.text);
  if (!populated(AT_FDCWD, events)) return left;
  const Fd dir = open_path(path.text);
  if (!dir) return left;
  auto count_one = [&left](std::int32_t pid) {
    ++left.count;
    if (left.pid == 0) left.pid = pid;
  };
  each_pid(dir.get(), kDepth, count_one);
  // Populated, yet nobody was listed: on the way in or out.
  if (left.count == 0 && populated(dir.get())) left.count = 1;
  return left;
}

void CgroupTrees::kill(const Life& life) const {
  kill_path(path_of(life).text, can_kill_, pidfds_);
}

void CgroupTrees::each(const Life& life, Visit visit, void* context) const {
  const Fd dir = open_path(path_of(life).text);
  auto visit_one = [visit, context](std::int32_t pid) { visit(context, pid); };
  if (dir) each_pid(dir.get(), kDepth, visit_one);
}

bool CgroupTrees::contains(const Life& life, std::int32_t pid) const {
  const Path path = path_of(life);
  return path.text[0] != 0 && proc::in_cgroup(pid, tail_of(path.text));
}

int CgroupTrees::open_directory(const Life& life) const {
  return ::open(path_of(life).text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int CgroupTrees::open_entrance(const Life& life) const {
  const Fd dir(open_directory(life));
  return dir ? ::openat(dir.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC) : -1;
}

namespace {

struct Sweep {
  Kernel::Owned owned;
  const void* keeper;
  const char* base;
  bool can_kill;
  bool pidfds;
};

}  // namespace

void CgroupTrees::sweep_one(void* context, int dir, const char* name) {
  const auto* sweep = static_cast<const Sweep*>(context);
  if (name[0] != 'r' && name[0] != 'k') return;
  char* end = nullptr;
  const wire::Run run = std::strtoull(name + 1, &end, 16);
  if (end == name + 1 || *end != 0 || sweep->owned(sweep->keeper, run)) return;
  char path[512];
  std::snprintf(path, sizeof path, "%s/%s", sweep->base, name);
  const Fd tree(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  for (int looks = 0; name[0] == 'r' && tree && populated(tree.get()) && looks < 200; ++looks) {
    kill_path(path, sweep->can_kill, sweep->pidfds);
    ::usleep(5'000);
  }
  remove_path(path);
}

void CgroupTrees::sweep_unrecorded(Kernel::Owned owned, const void* keeper) const {
  for (const std::string& base : bases_) {
    Sweep sweep{owned, keeper, base.c_str(), can_kill_, pidfds_};
    const Fd dir = open_path(base.c_str());
    if (dir) proc::each_directory(dir.get(), &CgroupTrees::sweep_one, &sweep);
  }
}

void CgroupTrees::leave() const {
  for (const std::string& base : bases_) {
    const Fd dir = open_path(base.c_str());
    if (dir) remove_below(dir.get(), 1);
    ::rmdir(base.c_str());
  }
}

}  // namespace supv
