#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace supv::test {

/// A directory of its own that goes with everything in it.
class TempDirectory {
 public:
  TempDirectory() {
    if (::mkdtemp(path_) == nullptr) std::abort();
  }
  ~TempDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  std::string path() const { return path_; }
  std::string operator/(const std::string& name) const { return path() + '/' + name; }

 private:
  char path_[24] = "/tmp/supv-test-XXXXXX";
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A program with its output in a file; killed at the end, and when the test dies.
class Child {
 public:
  Child(std::vector<std::string> argv, const std::string& output) : output_(output) {
    std::vector<char*> pointers;
    for (std::string& word : argv) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::close_range(3, ~0U, 0);
    ::execvp(pointers[0], pointers.data());
    ::_exit(127);
  }
  ~Child() { stop(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  /// Its wait status.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  std::string output() const { return read_file(output_); }
  /// The text after `mark` up to the next white space once it is there; empty after `seconds`.
  std::string await(const std::string& mark, double seconds = 20) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
      const std::string text = output();
      const auto at = text.find(mark);
      const auto stop =
          at == std::string::npos ? at : text.find_first_of(" ,)\n", at + mark.size());
      if (stop != std::string::npos) return text.substr(at + mark.size(), stop - at - mark.size());
      ::poll(nullptr, 0, 10);
    }
    return {};
  }

 private:
  std::string output_;
  pid_t pid_ = -1;
};

/// The output of a shell command without the newline at its end; `status` is its exit code.
inline std::string shell(const std::string& command, int* status = nullptr) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "re");
  char buffer[4096];
  std::size_t size = 0;
  while ((size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0) text.append(buffer, size);
  const int result = ::pclose(pipe);
  if (status != nullptr) *status = WEXITSTATUS(result);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace supv::test
