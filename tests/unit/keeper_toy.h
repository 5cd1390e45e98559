#pragma once

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "keeper/cgroup_trees.h"
#include "keeper/channel.h"
#include "keeper/plan.h"
#include "keeper/proc.h"
#include "keeper/run_keeper.h"
#include "keeper/wire.h"

/// A real keeper with a brain that only passes packets on, so that a test can be the brain. Brain
/// and workers are the test program itself, told apart by SUPV_TOY in their environment.
namespace toy {

using namespace supv;
using Clock = std::chrono::steady_clock;

inline bool wait_until(const std::function<bool()>& done, int milliseconds = 20000) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
  while (!done()) {
    if (Clock::now() >= deadline) return false;
    ::usleep(2000);
  }
  return true;
}

inline bool alive(int pid) {
  proc::Stat stat;
  return proc::read_stat(pid, stat) && !stat.dead();
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string self_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

struct Packet {
  std::string bytes;
  std::vector<Fd> fds;
};

/// Blocks up to `milliseconds`. Nothing: timeout; an empty packet: closed.
inline std::optional<Packet> receive_packet(int fd, int milliseconds) {
  pollfd look{fd, POLLIN, 0};
  if (::poll(&look, 1, milliseconds) <= 0) return std::nullopt;
  Packet packet;
  char bytes[4096];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)];
  iovec part{bytes, sizeof bytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  if (got <= 0) return packet;
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
    const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(at) + i * sizeof(int), sizeof number);
      packet.fds.emplace_back(number);
    }
  }
  packet.bytes.assign(bytes, static_cast<std::size_t>(got));
  return packet;
}

inline bool send_packet(int fd, const void* bytes, std::size_t size, const std::vector<int>& fds) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = {};
  iovec part{const_cast<void*>(bytes), size};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  return ::sendmsg(fd, &header, MSG_NOSIGNAL) >= 0;
}

struct BrainStarted {
  std::uint32_t magic = 0x6e617262;
  std::int32_t pid = 0;
};

/// Keeper on 3, test on 4.
[[noreturn]] inline void be_brain() {
  BrainStarted started;
  started.pid = ::getpid();
  send_packet(4, &started, sizeof started, {});
  while (true) {
    pollfd both[2] = {{3, POLLIN, 0}, {4, POLLIN, 0}};
    ::poll(both, 2, -1);
    for (int i = 0; i < 2; ++i) {
      if (both[i].revents == 0) continue;
      const std::optional<Packet> packet = receive_packet(both[i].fd, 0);
      if (!packet) continue;
      if (packet->bytes.empty()) ::_exit(0);
      std::vector<int> fds;
      for (const Fd& fd : packet->fds) fds.push_back(fd.get());
      send_packet(both[1 - i].fd, packet->bytes.data(), packet->bytes.size(), fds);
    }
  }
}

inline void write_pid(const char* path) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
  const std::string text = std::to_string(::getpid()) + "\n";
  if (::write(fd, text.data(), text.size()) < 0) ::_exit(9);
  ::close(fd);
}

/// The worst escapee an ordinary program can be; says its pid in a file first.
[[noreturn]] inline void be_escapee(const char* pid_file) {
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  write_pid(pid_file);
  for (int fd = 0; fd < 1024; ++fd) ::close(fd);
  for (char** entry = environ; *entry != nullptr; ++entry)
    std::memset(*entry, 0, std::strlen(*entry));
  while (true) ::pause();
}

/// Exit code of a worker whose child has not said its pid in time.
constexpr int kNoPid = 98;

/// Waits for what a child of ours writes to the file.
inline void await_pid(const char* file) {
  if (!wait_until([file] { return !read_file(file).empty(); }, 10000)) ::_exit(kNoPid);
}

[[noreturn]] inline void be_worker(const std::string& what, const char* file) {
  if (what == "sleep") {
    if (file != nullptr) write_pid(file);
  } else if (what == "stubborn") {
    ::signal(SIGTERM, SIG_IGN);
    if (file != nullptr) write_pid(file);
  } else if (what == "escape") {
    for (int i = 0; i < 3; ++i)
      if (::fork() == 0) be_escapee(file);
  } else if (what == "escape_and_exit") {
    if (::fork() == 0) be_escapee(file);
    await_pid(file);
    ::_exit(7);
  } else if (what == "daemon") {  // Leaves a well-behaved daemon behind, and its pid.
    if (::fork() == 0) {
      ::setsid();
      write_pid(file);
      while (true) ::pause();
    }
    await_pid(file);
    ::_exit(0);
  } else if (what == "witness") {  // Says D when another one holds the file.
    const int fd = ::open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const bool first = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (::write(fd, first ? "." : "D", 1) != 1) ::_exit(9);
    if (first) ::usleep(static_cast<useconds_t>(1000 + ::getpid() % 64 * 500));
    ::_exit(first ? 3 : 4);
  }
  while (true) ::pause();
}

/// The keeper's process; also what the re-executed one becomes.
[[noreturn]] inline void keep(const std::string& runtime_dir, const std::string& program,
                              Fd listener) {
  try {
    KeeperOptions options;
    options.runtime_dir = runtime_dir;
    if (std::optional<Reborn> before = reborn()) {
      options.lock = std::move(before->lock);
      options.listener = std::move(before->listener);
      options.state = std::move(before->state);
    } else {
      options.lock = take_lock(runtime_dir);
      options.listener = std::move(listener);
    }
    PlanBuilder plan;
    plan.paths = {self_path()};  // Not /proc/self/exe, which is valgrind when there is one.
    plan.argv = {"toy-brain"};
    plan.env = {"SUPV_TOY=brain"};
    plan.inherit_output = true;
    options.brain_plan = plan.build();
    options.reexec_path = program;
    options.reexec_argv = {"toy-reborn", runtime_dir};
    ::setenv("SUPV_TOY", "keeper", 1);
    ::setenv("SUPV_TOY_FILE", runtime_dir.c_str(), 1);
    ::_exit(run_keeper(std::move(options)));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "toy keeper: %s\n", error.what());
    ::_exit(99);
  }
}

/// Runs before main(): is this process brain or worker?
__attribute__((constructor)) inline void look_at_role() {
  const char* role = std::getenv("SUPV_TOY");
  if (role == nullptr) return;
  const std::string name = role;
  const char* file = std::getenv("SUPV_TOY_FILE");
  if (name == "brain") be_brain();
  if (name == "keeper") keep(file, self_path(), Fd());
  be_worker(name, file);
}

/// A directory of its own, gone afterwards.
class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/supv-keeper-XXXXXX";
    if (::mkdtemp(path) == nullptr) std::abort();
    path_ = path;
    ::chmod(path, 0755);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Request {
  std::vector<std::string> argv;
  std::vector<std::string> env{"PATH=/usr/bin:/bin"};
  std::uint32_t flags = 0;
  std::vector<wire::LadderStep> ladder{{SIGTERM, 400}};
  std::string memo;
  std::string out;
  std::vector<int> child_fds;
  std::vector<int> stored_fds;
  wire::Run host = 0;
  std::function<void(PlanBuilder&)> adjust = [](PlanBuilder&) {};
};

inline Request shell(const std::string& script) {
  Request request;
  request.argv = {"/bin/sh", "-c", script};
  return request;
}

inline Request role(const std::string& name, const std::string& file = {}) {
  Request request;
  request.argv = {self_path()};
  request.env.push_back("SUPV_TOY=" + name);
  if (!file.empty()) request.env.push_back("SUPV_TOY_FILE=" + file);
  return request;
}

/// One supvd: starts a keeper, can lose it and start another one on the same directory.
class Supvd {
 public:
  explicit Supvd(std::string disable = {}, uid_t uid = 0, std::string program = self_path())
      : disable_(std::move(disable)), uid_(uid), program_(std::move(program)) {
    ::mkdir((dir / "run").c_str(), 0700);
    if (uid_ != 0 && ::chown((dir / "run").c_str(), uid_, uid_) != 0) std::abort();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    launch();
  }
  ~Supvd() {
    // Without its line each toy brain ends; told to end twice without one, supvd kills what runs.
    line.reset();
    if (keeper > 0) {
      toy::wait_until([this] { return brain == 0 || !alive(brain); }, 1000);
      ::kill(keeper, SIGTERM);
      ::usleep(1000);
      ::kill(keeper, SIGINT);
      if (!toy::wait_until([this] { return ended(); }, 8000)) kill_keeper();
    }
    sweep_up();
    // A killed keeper leaves its cgroups to its successor, and here is none.
    CgroupTrees trees;
    trees.start(Fd(::open((dir / "run").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                enabled_features());
    trees.leave();
  }

  void launch() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    line.reset(ends[0]);
    Fd theirs(ends[1]);
    keeper = ::fork();
    if (keeper == 0) be_keeper(std::move(theirs));
    news.clear();
  }

  /// Waits for the toy brain and asks for everything.
  bool greet(int milliseconds = 20000) {
    brain = 0;
    return pump_until([this] { return brain != 0; }, milliseconds) && ask_again(milliseconds);
  }
  /// Says hello: what was sent before has been done when this returns.
  bool ask_again(int milliseconds = 20000) {
    slots.clear();
    slot_fds.clear();
    dumped = false;
    tell(wire::Plain{wire::Kind::hello, 0, 0});
    return pump_until([this] { return dumped; }, milliseconds);
  }

  void kill_keeper() {
    ::kill(keeper, SIGKILL);
    int status = 0;
    ::waitpid(keeper, &status, 0);
    keeper = -1;
  }
  bool ended() {
    int status = 0;
    if (keeper <= 0) return true;
    if (::waitpid(keeper, &status, WNOHANG) != keeper) return false;
    exit_status = status;
    keeper = -1;
    return true;
  }

  template <typename Message>
  void tell(const Message& message, const std::vector<int>& fds = {}) {
    send_packet(line.get(), &message, sizeof message, fds);
  }

  /// Sends a spawn; returns its run.
  wire::Run spawn(std::uint32_t slot, const Request& request) {
    PlanBuilder plan;
    plan.paths = {request.argv.at(0)};
    plan.argv = request.argv;
    plan.env = request.env;
    plan.out = request.out;
    request.adjust(plan);
    const Fd memfd = plan.build();
    wire::Spawn message{};
    message.kind = wire::Kind::spawn;
    message.flags = request.flags;
    message.run = ++generation << 16U | slot;
    message.host = request.host;
    message.ladder_count = static_cast<std::uint32_t>(request.ladder.size());
    std::copy(request.ladder.begin(), request.ladder.end(), message.ladder);
    message.memo_size = static_cast<std::uint32_t>(request.memo.size());
    std::memcpy(message.memo, request.memo.data(), request.memo.size());
    message.child_fds = static_cast<std::uint32_t>(request.child_fds.size());
    message.stored_fds = static_cast<std::uint32_t>(request.stored_fds.size());
    std::vector<int> fds{memfd.get()};
    fds.insert(fds.end(), request.child_fds.begin(), request.child_fds.end());
    fds.insert(fds.end(), request.stored_fds.begin(), request.stored_fds.end());
    tell(message, fds);
    return message.run;
  }
  void stop(wire::Run run, bool now = false, std::uint32_t after = 0) {
    tell(wire::Stop{wire::Kind::stop, after, run, now ? 1U : 0U, 0});
  }
  void forget(wire::Run run) { tell(wire::Plain{wire::Kind::forget, 0, run}); }

  /// The next news of this kind about this run, others stay.
  std::optional<wire::News> expect(wire::Kind kind, wire::Run run, int milliseconds = 20000) {
    std::optional<wire::News> found;
    pump_until(
        [&] {
          for (auto at = news.begin(); at != news.end(); ++at) {
            if (at->kind != kind || at->run != run) continue;
            found = *at;
            news.erase(at);
            return true;
          }
          return false;
        },
        milliseconds);
    return found;
  }

  bool pump_until(const std::function<bool()>& done, int milliseconds) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    while (!done()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return false;
      std::optional<Packet> packet = receive_packet(line.get(), static_cast<int>(left));
      if (packet && packet->bytes.empty()) return false;
      if (packet) take(std::move(*packet));
    }
    return true;
  }

  TempDir dir;
  Fd line;
  pid_t keeper = -1;
  int exit_status = 0;
  int brain = 0;  ///< Pid of the last toy brain that said so.
  bool dumped = false;
  std::deque<wire::News> news;
  std::vector<wire::Slot> slots;
  std::vector<std::vector<Fd>> slot_fds;
  std::uint64_t generation = 0;
  std::set<int> seen;  ///< Every pid that was ever named to us.

 private:
  void take(Packet packet) {
    BrainStarted started;
    wire::Kind kind;
    std::memcpy(&kind, packet.bytes.data(), sizeof kind);
    if (packet.bytes.size() == sizeof started &&
        std::memcmp(packet.bytes.data(), &started, 4) == 0) {
      std::memcpy(&started, packet.bytes.data(), sizeof started);
      brain = started.pid;
    } else if (kind == wire::Kind::slot) {
      wire::Slot slot;
      std::memcpy(&slot, packet.bytes.data(), sizeof slot);
      slots.push_back(slot);
      seen.insert(slot.pid);
      slot_fds.push_back(std::move(packet.fds));
    } else if (kind == wire::Kind::dumped) {
      dumped = true;
    } else {
      wire::News piece;
      std::memcpy(&piece, packet.bytes.data(), sizeof piece);
      news.push_back(piece);
      seen.insert(piece.pid);
    }
  }

  [[noreturn]] void be_keeper(Fd listener) {
    line.reset();
    if (uid_ != 0 && (::setresgid(uid_, uid_, uid_) != 0 || ::setgroups(0, nullptr) != 0 ||
                      ::setresuid(uid_, uid_, uid_) != 0))
      std::abort();
    if (!disable_.empty()) ::setenv("SUPV_DISABLE", disable_.c_str(), 1);
    keep(dir / "run", program_, std::move(listener));
  }

  /// Whatever a failed test left: our own children and orphans, by pid.
  void sweep_up() {
    for (const int pid : seen) {
      proc::Stat stat;
      if (pid > 1 && proc::read_stat(pid, stat) && stat.parent == ::getpid()) ::kill(pid, SIGKILL);
    }
    int status = 0;
    while (::waitpid(-1, &status, WNOHANG) > 0) {
    }
    std::ifstream trees(dir / "run/trees");
    for (std::string base; std::getline(trees, base);) {
      std::error_code ignored;
      for (const auto& tree : std::filesystem::directory_iterator(base, ignored)) {
        if (!tree.is_directory()) continue;
        std::ofstream(tree.path() / "cgroup.kill") << "1";
        toy::wait_until([&] { return ::rmdir(tree.path().c_str()) == 0; }, 1000);
      }
      ::rmdir(base.c_str());
    }
  }

  std::string disable_;
  uid_t uid_;
  std::string program_;  ///< What USR2 executes.
};

}  // namespace toy
