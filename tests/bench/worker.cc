// The measured worker: its first instruction, and each TERM, as a time in a FIFO. Static and tiny,
// so that what is measured is the supervisor.
//   bench_worker FIFO
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

namespace {

struct Mark {
  long long pid;
  long long ns;
  long long what;  // 0: started, otherwise the signal
};

void mark(int fifo, long long what) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const Mark line{getpid(), now.tv_sec * 1'000'000'000LL + now.tv_nsec, what};
  if (write(fifo, &line, sizeof line) != sizeof line) _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int fifo = open(argv[1], O_WRONLY | O_CLOEXEC);
  const Mark born{getpid(), now.tv_sec * 1'000'000'000LL + now.tv_nsec, 0};
  if (fifo < 0 || write(fifo, &born, sizeof born) != sizeof born) return 1;
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGTERM);
  sigprocmask(SIG_BLOCK, &waited, nullptr);
  int signal = 0;
  sigwait(&waited, &signal);
  mark(fifo, signal);
  return 0;
}
