// The process that the end-to-end tests have supervised. It does what its options say, in order,
// and keeps a diary beside its witness file, so that it is itself the witness of what happened.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace {

class Worker {
 public:
  void option(const std::string& name, const std::string& value);
  [[noreturn]] void live();

 private:
  void note(const std::string& line) const;
  void take_witness(const std::string& path);
  void daemonise(const std::string& pid_file);
  void escape(const std::string& marker) const;
  void signalled(int signal);

  std::string diary_;
  std::vector<int> ignored_;
  std::vector<int> noted_;
  long end_after_ms_ = -1;
  int end_code_ = 0;
  long watchdog_ms_ = -1;
};

long long now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

void pause_ms(long ms) { poll(nullptr, 0, static_cast<int>(ms)); }

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "worker: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(98);
}

int signal_number(const std::string& name) {
  for (int signal = 1; signal < 32; ++signal)
    if (const char* known = sigabbrev_np(signal); known != nullptr && name == known) return signal;
  die("no signal " + name);
}

void tell(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  sendto(fd, state.data(), state.size(), 0, reinterpret_cast<sockaddr*>(&address),
         address.sun_path[0] == '\0' ? size : sizeof address);
  close(fd);
}

void listen_on(const std::string& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind " + port);
  if (listen(fd, 8) != 0) die("listen");
}

/// What /proc/self and the environment say, for tests of a process's surroundings.
void describe_self(const std::string& path) {
  const std::string half = path + ".half";
  std::string descriptors;
  for (int fd = 0; fd < 256; ++fd)
    if (fcntl(fd, F_GETFD) >= 0) descriptors += "fd " + std::to_string(fd) + '\n';
  {
    std::ofstream out(half);
    out << descriptors;
    std::array<char, 4096> text{};
    out << "cwd " << (getcwd(text.data(), text.size()) != nullptr ? text.data() : "?") << '\n';
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) out << line << '\n';
    const mode_t mask = umask(0);
    umask(mask);
    std::snprintf(text.data(), text.size(), "%04o", mask);
    out << "umask " << text.data() << '\n';
    for (char** variable = environ; *variable != nullptr; ++variable)
      out << "env " << *variable << '\n';
  }
  if (rename(half.c_str(), path.c_str()) != 0) die("rename " + path);
}

void Worker::note(const std::string& line) const {
  if (diary_.empty()) return;
  const int fd = open(diary_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  const std::string text = line + "\n";
  if (write(fd, text.data(), text.size()) < 0) std::perror("worker: diary");
  close(fd);
}

// The lock is held as long as this process lives: a second copy finds it taken and says so.
void Worker::take_witness(const std::string& path) {
  const long long born = now_ns();
  diary_ = path + ".diary";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) die("open " + path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) note("duplicate " + std::to_string(getpid()));
  note("start " + std::to_string(getpid()) + " " + std::to_string(born));
}

void Worker::daemonise(const std::string& pid_file) {
  if (fork() != 0) _exit(0);
  setsid();
  const std::string half = pid_file + ".half";
  std::ofstream(half) << getpid() << '\n';
  if (rename(half.c_str(), pid_file.c_str()) != 0) die("rename " + pid_file);
}

// What a process can do to get away: double fork, new session, no descriptors, no environment.
void Worker::escape(const std::string& marker) const {
  const pid_t first = fork();
  if (first != 0) {
    waitpid(first, nullptr, 0);
    return;
  }
  setsid();
  if (fork() != 0) _exit(0);
  close_range(0, ~0U, 0);
  clearenv();
  if (chdir("/") != 0) _exit(1);
  std::string name = marker;
  std::string forever = "100000";
  std::array<char*, 3> argv{name.data(), forever.data(), nullptr};
  execv("/bin/sleep", argv.data());
  _exit(1);
}

void Worker::option(const std::string& name, const std::string& value) {
  if (name == "--witness") {
    take_witness(value);
  } else if (name == "--ignore") {
    ignored_.push_back(signal_number(value));
  } else if (name == "--note") {
    noted_.push_back(signal_number(value));
  } else if (name == "--pause") {
    pause_ms(std::stol(value));
  } else if (name == "--exit") {
    std::exit(std::stoi(value));
  } else if (name == "--raise") {
    std::raise(signal_number(value));
  } else if (name == "--exit-after") {
    end_after_ms_ = std::stol(value);
  } else if (name == "--exit-code") {
    end_code_ = std::stoi(value);
  } else if (name == "--daemonise") {
    daemonise(value);
  } else if (name == "--escape") {
    escape(value);
  } else if (name == "--tell") {
    tell(value);
  } else if (name == "--watchdog-for") {
    watchdog_ms_ = std::stol(value);
  } else if (name == "--listen") {
    listen_on(value);
  } else if (name == "--touch") {
    std::ofstream(value) << getpid() << '\n';
  } else if (name == "--describe") {
    describe_self(value);
  } else if (name == "--say") {
    std::printf("%s\n", value.c_str());
    std::fflush(stdout);
  } else if (name == "--complain") {
    std::fprintf(stderr, "%s\n", value.c_str());
  } else if (name == "--memory") {
    static std::string ballast(std::stoul(value) << 20, 'x');
  } else if (name == "--busy") {
    const long long until = now_ns() + std::stoll(value) * 1'000'000;
    while (now_ns() < until) {
    }
  } else if (name == "--count") {
    for (long line = 1; line <= std::stol(value); ++line) std::printf("line %ld\n", line);
    std::fflush(stdout);
  } else {
    errno = EINVAL;
    die(name);
  }
}

void Worker::signalled(int signal) {
  note(std::string("signal ") + sigabbrev_np(signal));
  for (const int ignored : ignored_)
    if (ignored == signal) return;
  for (const int noted : noted_)
    if (noted == signal) return;
  note("end " + std::to_string(getpid()));
  std::exit(end_code_);
}

void Worker::live() {
  sigset_t all{};
  sigemptyset(&all);
  for (const int signal : ignored_) sigaddset(&all, signal);
  for (const int signal : noted_) sigaddset(&all, signal);
  sigaddset(&all, SIGTERM);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  pollfd signals{signalfd(-1, &all, SFD_CLOEXEC), POLLIN, 0};
  const long long born = now_ns() / 1'000'000;
  for (;;) {
    long wait = end_after_ms_;
    if (watchdog_ms_ >= 0) {
      if (now_ns() / 1'000'000 - born < watchdog_ms_) tell("WATCHDOG=1");
      wait = 50;
    }
    const int events = poll(&signals, 1, static_cast<int>(wait));
    if (events == 0 && watchdog_ms_ < 0) std::exit(end_code_);
    if (events <= 0) continue;
    signalfd_siginfo heard{};
    if (read(signals.fd, &heard, sizeof heard) == sizeof heard)
      signalled(static_cast<int>(heard.ssi_signo));
  }
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_NAME, "worker");
  Worker worker;
  for (int i = 1; i + 1 < argc; i += 2) worker.option(argv[i], argv[i + 1]);
  worker.live();
}
