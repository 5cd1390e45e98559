// What the kernel and Consul allow, with nothing on top: the reference of tests/bench/run.
//   bench_floor restart PROGRAM ARGUMENT    fork, exec, wait with a pidfd in epoll; for ever
//   bench_floor tree CGROUP PROGRAM ARGUMENT    the same, each in a fresh cgroup below CGROUP: what
//                                               it takes to know a process's whole tree
//   bench_floor query PORT PATH FIFO    one blocking query after the other, a mark at each return
//   bench_floor read PATH...    reads each file once; prints the CPU that took, milliseconds
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

// Returns a pidfd.
int start(char* const* argv) {
  const pid_t child = vfork();
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  return static_cast<int>(syscall(SYS_pidfd_open, child, 0));
}

int start_in(const std::string& cgroup, char* const* argv) {
  mkdir(cgroup.c_str(), 0755);
  const int directory = open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int handle = -1;
  clone_args how{};
  how.flags = CLONE_PIDFD | CLONE_INTO_CGROUP;
  how.pidfd = reinterpret_cast<std::uintptr_t>(&handle);
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<std::uint64_t>(directory);
  const long child = syscall(SYS_clone3, &how, sizeof how);
  if (child == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  if (child < 0) std::exit(1);
  close(directory);
  return handle;
}

[[noreturn]] void restart(const std::string& cgroup, char* const* argv) {
  const int events = epoll_create1(EPOLL_CLOEXEC);
  for (int run = 0;; ++run) {
    const std::string tree = cgroup.empty() ? "" : cgroup + "/" + std::to_string(run);
    const int handle = tree.empty() ? start(argv) : start_in(tree, argv);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(events, EPOLL_CTL_ADD, handle, &event);
    while (epoll_wait(events, &event, 1, -1) != 1) {
    }
    siginfo_t how{};
    waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(handle), &how, WEXITED);
    epoll_ctl(events, EPOLL_CTL_DEL, handle, nullptr);
    close(handle);
    if (!tree.empty()) rmdir(tree.c_str());
  }
}

void mark(int fifo) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::array<long long, 3> line{-1, now.tv_sec * 1'000'000'000LL + now.tv_nsec, 0};
  if (write(fifo, line.data(), sizeof line) != sizeof line) _exit(1);
}

// Reads one whole answer; returns its X-Consul-Index.
std::string read_answer(int fd) {
  std::string text;
  std::array<char, 65536> piece{};
  for (;;) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end != std::string::npos) {
      const char* length = strcasestr(text.c_str(), "\r\nContent-Length:");
      const char* index = strcasestr(text.c_str(), "\r\nX-Consul-Index:");
      if (length == nullptr || index == nullptr) std::exit(1);
      if (text.size() >= end + 4 + std::strtoul(length + 17, nullptr, 10))
        return std::to_string(std::strtoull(index + 17, nullptr, 10));
    }
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got <= 0) std::exit(1);
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

[[noreturn]] void query(int port, const std::string& path, const char* fifo_path) {
  const int fifo = open(fifo_path, O_WRONLY | O_CLOEXEC);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::exit(1);
  std::string index = "0";
  for (;;) {
    const std::string request =
        "GET " + path + "?wait=55s&index=" + index + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (write(fd, request.data(), request.size()) < 0) std::exit(1);
    index = read_answer(fd);
    mark(fifo);
  }
}

std::int64_t cpu_ns() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec * 1'000'000'000 + used.tv_nsec;
}

int read_all(char* const* paths) {
  std::array<char, 1024> room;
  std::int64_t best = INT64_MAX;
  for (int round = 0; round < 5; ++round) {
    const std::int64_t begun = cpu_ns();
    for (char* const* path = paths; *path != nullptr; ++path) {
      const int fd = open(*path, O_RDONLY | O_CLOEXEC);
      if (read(fd, room.data(), room.size()) <= 0) return 1;
      close(fd);
    }
    best = std::min(best, cpu_ns() - begun);
  }
  std::printf("%.3f\n", static_cast<double>(best) / 1e6);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "restart" && argc == 4) restart("", argv + 2);
  if (mode == "tree" && argc == 5) restart(argv[2], argv + 3);
  if (mode == "query" && argc == 5) query(std::atoi(argv[2]), argv[3], argv[4]);
  if (mode == "read" && argc > 2) return read_all(argv + 2);
  std::fputs(
      "usage: bench_floor restart PROGRAM ARGUMENT | tree CGROUP PROGRAM ARGUMENT |\n"
      "       query PORT PATH FIFO | read PATH...\n",
      stderr);
  return 2;
}
