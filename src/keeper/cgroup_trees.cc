#include "keeper/cgroup_trees.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "keeper/pidfd.h"
#include "keeper/proc.h"

namespace supv {
namespace {

constexpr int kDepth = 16;  // Of cgroups that a worker makes inside its own.

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

}  // namespace

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
