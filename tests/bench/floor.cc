// What the kernel and Consul allow, with nothing on top: the reference of tests/bench/run.
//   bench_floor restart PROGRAM ARGUMENT    fork, exec, wait with a pidfd in epoll; for ever
//   bench_floor query PORT PATH FIFO        one blocking query after the other, a mark at each
//   return
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace {

[[noreturn]] void restart(char* const* argv) {
  const int events = epoll_create1(EPOLL_CLOEXEC);
  for (;;) {
    const pid_t child = vfork();
    if (child == 0) {
      execv(argv[0], argv);
      _exit(127);
    }
    const int handle = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(events, EPOLL_CTL_ADD, handle, &event);
    while (epoll_wait(events, &event, 1, -1) != 1) {
    }
    siginfo_t how{};
    waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(handle), &how, WEXITED);
    epoll_ctl(events, EPOLL_CTL_DEL, handle, nullptr);
    close(handle);
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

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "restart" && argc == 4) restart(argv + 2);
  if (mode == "query" && argc == 5) query(std::atoi(argv[2]), argv[3], argv[4]);
  std::fputs("usage: bench_floor restart PROGRAM ARGUMENT | query PORT PATH FIFO\n", stderr);
  return 2;
}
