#include "keeper/exec_child.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "keeper/proc.h"

namespace supv {

static_assert(sizeof(char*) == 8, "cells of a plan become pointers in place");

// --- the plan --------------------------------------------------------------------------------

MappedPlan::MappedPlan(unsigned char* bytes, std::size_t size)
    : bytes_(bytes), size_(size), ok_(check()) {}

bool MappedPlan::check() {
  if (size_ <= sizeof(wire::Plan) || size_ > wire::kMaxPlan) return false;
  const wire::Plan& plan = head();
  if (plan.magic != wire::kPlanMagic || plan.size != size_ || bytes_[size_ - 1] != 0) return false;
  for (const std::uint32_t offset : {plan.dir, plan.chroot, plan.out, plan.err})
    if (offset != 0 && (offset < sizeof plan || offset >= size_)) return false;
  if (plan.groups % 4 != 0 || plan.groups > size_ || plan.group_count > (size_ - plan.groups) / 4)
    return false;
  if (plan.path_count == 0 || plan.argc == 0) return false;
  return resolve(plan.paths, plan.path_count) && resolve(plan.argv, plan.argc) &&
         resolve(plan.envp, plan.envc);
}

/// Turns an array's offsets into pointers. An array that overlaps another is read again as what
/// that one became, and fails the range check: no pointer is a valid offset.
bool MappedPlan::resolve(std::uint32_t offset, std::uint32_t count) {
  if (offset % 8 != 0 || offset < sizeof(wire::Plan) || offset >= size_) return false;
  if (count >= (size_ - offset) / 8) return false;  // One more cell: the end.
  auto* cells = bytes_ + offset;
  for (std::uint32_t i = 0; i <= count; ++i, cells += 8) {
    std::uint64_t cell = 0;
    std::memcpy(&cell, cells, sizeof cell);
    if (i == count) return cell == 0;
    if (cell < sizeof(wire::Plan) || cell >= size_) return false;
    const unsigned char* words = bytes_ + cell;
    std::memcpy(cells, &words, sizeof words);
  }
  return false;
}

const char* MappedPlan::text(std::uint32_t offset) const {
  return offset == 0 ? nullptr : reinterpret_cast<const char*>(bytes_ + offset);
}

const std::uint32_t* MappedPlan::groups() const {
  return reinterpret_cast<const std::uint32_t*>(bytes_ + head().groups);
}

// --- the child -------------------------------------------------------------------------------

namespace {

constexpr int kLowest = 64;  // Our own descriptors move above whatever the child is to have.

/// The steps of the child in their order; each ends the process when it fails.
class Child {
 public:
  explicit Child(const ChildSetup& setup) : setup_(setup), line_(setup.line), lock_(setup.lock) {}

  void leave_parent() {
    ::close(setup_.parent_line);
    unblock_signals();
    if (::setsid() < 0) fail(wire::Step::session);
    if (setup_.entrance >= 0 && ::write(setup_.entrance, "0", 1) != 1) fail(wire::Step::tree);
    if (setup_.reset_oom) write_oom();
    if (setup_.tag != 0) {
      const rlimit tag{setup_.tag, setup_.tag};
      if (::setrlimit(RLIMIT_LOCKS, &tag) != 0) fail(wire::Step::limit);
    }
  }

  /// Nothing before it is seen outside; everything that can be done before it is, while the parent
  /// writes its record.
  void pass_gate() {
    if (std::exchange(passed_, true)) return;
    char go = 0;
    ssize_t got;
    do got = ::recv(line_, &go, 1, 0);
    while (got < 0 && errno == EINTR);
    if (got != 1) ::_exit(0);  // Nobody recorded this process: it must not become anything.
    if (lock_ >= 0) ::close(lock_);
  }

  MappedPlan map_plan() {
    struct stat about {};
    if (::fstat(setup_.plan, &about) != 0) fail(wire::Step::plan);
    const auto size = static_cast<std::size_t>(about.st_size);
    if (about.st_size <= 0 || size > wire::kMaxPlan) fail(wire::Step::plan, EINVAL);
    void* bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, setup_.plan, 0);
    if (bytes == MAP_FAILED) fail(wire::Step::plan);
    MappedPlan plan(static_cast<unsigned char*>(bytes), size);
    if (!plan.ok()) fail(wire::Step::plan, EINVAL);
    return plan;
  }

  void arrange_fds(const MappedPlan& plan) {
    int moved[wire::kMaxFds] = {};
    line_ = move_up(line_);
    if (lock_ >= 0) lock_ = move_up_and_close(lock_);
    for (std::uint32_t i = 0; i < setup_.child_fd_count; ++i)
      moved[i] = move_up(setup_.child_fds[i]);
    arrange_output(plan);
    const std::uint32_t first = (plan.head().flags & wire::kStandard) != 0 ? 0 : 3;
    const std::uint32_t end = first + setup_.child_fd_count;
    for (std::uint32_t i = 0; i < setup_.child_fd_count; ++i)
      if (::dup2(moved[i], static_cast<int>(first + i)) < 0) fail(wire::Step::limit);
    close_above(end < 3 ? 3 : end);
    if (::setrlimit(RLIMIT_NOFILE, &setup_.files) != 0) fail(wire::Step::limit);
  }

  void change_identity(const MappedPlan& plan) {
    const wire::Plan& head = plan.head();
    ::umask(head.umask == wire::kKeep ? 022 : head.umask & 0777);
    if (const char* root = plan.text(head.chroot))
      if (::chroot(root) != 0 || ::chdir("/") != 0) fail(wire::Step::chroot);
    drop_privileges(head, plan.groups());
    if (const char* dir = plan.text(head.dir))
      if (::chdir(dir) != 0) fail(wire::Step::dir);
  }

  [[noreturn]] void execute(const MappedPlan& plan) {
    int worst = ENOENT;
    for (char* const* path = plan.paths(); *path != nullptr; ++path) {
      ::execve(*path, plan.argv(), plan.envp());
      // As execvp: look further along the PATH, but remember what was there and not allowed.
      if (errno == EACCES) worst = EACCES;
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) fail(wire::Step::exec);
    }
    fail(wire::Step::exec, worst);
  }

 private:
  [[noreturn]] void fail(wire::Step step) { fail(step, errno); }
  [[noreturn]] void fail(wire::Step step, int error) {
    pass_gate();  // Before that nobody listens.
    const ChildFailure failure{step, error};
    while (::send(line_, &failure, sizeof failure, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    ::_exit(127);
  }

  /// The kernel's own call: the library leaves out the two signals it keeps for itself.
  static void unblock_signals() {
    const unsigned long none[2] = {};
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, none, nullptr, 8);
  }

  static void write_oom() {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    [[maybe_unused]] const ssize_t ignored = ::write(fd, "0", 1);
    ::close(fd);
  }

  int move_up(int fd) {
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, kLowest);
    if (moved < 0) fail(wire::Step::limit);
    return moved;
  }

  void arrange_output(const MappedPlan& plan) {
    const wire::Plan& head = plan.head();
    const bool inherit = head.out == 0 && (head.flags & wire::kInherit) != 0;
    put(open_for(nullptr, wire::Step::out), 0);
    if (!inherit) put(open_for(plan.text(head.out), wire::Step::out), 1);
    if (head.err != 0) {
      put(open_for(plan.text(head.err), wire::Step::err), 2);
    } else if (!inherit && ::dup2(1, 2) < 0) {
      fail(wire::Step::err);
    }
  }

  /// Read-write: then opening a FIFO never blocks, and writing to it never fails for want of a
  /// reader.
  int open_for(const char* path, wire::Step step) {
    const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC | (path != nullptr ? O_APPEND : 0);
    const int fd = ::open(path != nullptr ? path : "/dev/null", flags);
    if (fd < 0) fail(step);
    return move_up_and_close(fd);
  }

  int move_up_and_close(int fd) {
    if (fd >= kLowest) return fd;
    const int moved = move_up(fd);
    ::close(fd);
    return moved;
  }

  void put(int fd, int number) {
    if (::dup2(fd, number) < 0) fail(wire::Step::limit);
    ::close(fd);
  }

  /// Marks for closing at exec; the line must last until then.
  void close_above(unsigned first) const {
    constexpr unsigned kOnExec = 4;  // CLOSE_RANGE_CLOEXEC
    if (setup_.close_range && ::syscall(SYS_close_range, first, ~0U, kOnExec) == 0) return;
    const int dir = ::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto lowest = static_cast<std::int32_t>(first);
    const auto mark = [](void* context, std::int32_t fd) {
      if (fd >= *static_cast<std::int32_t*>(context)) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
      return true;
    };
    if (dir >= 0) return proc::each_number(dir, mark, &lowest);
    for (rlim_t fd = first; fd < 65536; ++fd) ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  }

  void drop_privileges(const wire::Plan& head, const std::uint32_t* groups) {
    const uid_t uid = head.uid == wire::kKeep ? ::geteuid() : head.uid;
    const gid_t gid = head.gid == wire::kKeep ? ::getegid() : head.gid;
    if (head.uid == wire::kKeep && head.gid == wire::kKeep) return;
    const bool already = ::geteuid() != 0 && uid == ::geteuid() && uid == ::getuid() &&
                         gid == ::getegid() && gid == ::getgid();
    if (already) return;  // An ordinary user's supvd told to be that user.
    if (::setgroups(head.group_count, groups) != 0) fail(wire::Step::group_list);
    if (::setresgid(gid, gid, gid) != 0) fail(wire::Step::gid);
    if (::setresuid(uid, uid, uid) != 0) fail(wire::Step::uid);
    uid_t uids[3] = {};
    gid_t gids[3] = {};
    if (::getresuid(uids, uids + 1, uids + 2) != 0 || ::getresgid(gids, gids + 1, gids + 2) != 0)
      fail(wire::Step::verify);
    for (int i = 0; i < 3; ++i)
      if (uids[i] != uid || gids[i] != gid) fail(wire::Step::verify, EPERM);
    if (uid == 0) return;
    if (::setuid(0) == 0 || ::seteuid(0) == 0) fail(wire::Step::verify, EPERM);
    if (gid != 0 && (::setgid(0) == 0 || ::setegid(0) == 0)) fail(wire::Step::verify, EPERM);
  }

  const ChildSetup& setup_;
  int line_;
  int lock_;
  bool passed_ = false;  ///< The gate.
};

}  // namespace

void ignore_nothing() {
  // The kernel's own call and layout, which begins with the disposition. All zeros: SIG_DFL.
  const unsigned long standard[16] = {};
  for (int signal = 1; signal <= 64; ++signal) {
    unsigned long action[16] = {};
    ::syscall(SYS_rt_sigaction, signal, nullptr, action, 8);
    if (action[0] == reinterpret_cast<unsigned long>(SIG_IGN))
      ::syscall(SYS_rt_sigaction, signal, standard, nullptr, 8);
  }
}

void exec_child(const ChildSetup& setup) {
  Child child(setup);
  child.leave_parent();
  const MappedPlan plan = child.map_plan();
  child.arrange_fds(plan);
  child.change_identity(plan);
  child.pass_gate();
  child.execute(plan);
}

}  // namespace supv
