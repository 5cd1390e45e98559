#include "app/supvctl_logs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "app/supvctl_print.h"
#include "app/supvctl_table.h"
#include "base/fd.h"
#include "base/text.h"

namespace supv::ctl {
namespace {

constexpr std::uint64_t kDefaultLines = 20;
/// Inotify says at once what changed; this is for file systems that do not tell.
constexpr int kLookMs = 1000;

/// One log that is printed and perhaps followed.
class Tail {
 public:
  Tail(std::string path, std::string prefix) : path_(std::move(path)), prefix_(std::move(prefix)) {}

  const std::string& path() const { return path_; }
  bool exists() const { return static_cast<bool>(fd_); }

  void print_last(std::uint64_t lines) const {
    for (const std::string& line : last_lines(path_, lines)) print(line);
  }
  /// Takes what is there now as already printed.
  void start_at_end() {
    if (open_current()) lseek(fd_.get(), 0, SEEK_END);
  }
  /// Prints what was added; goes on in the new file after a rotation, at the start after a
  /// truncation.
  void print_new() {
    if (fd_) {
      drain();
      struct stat named {};
      struct stat ours {};
      if (stat(path_.c_str(), &named) != 0 || fstat(fd_.get(), &ours) != 0) return;
      if (named.st_ino == ours.st_ino && named.st_dev == ours.st_dev) return;
      drain();  // What came between the last read and the rename.
    }
    if (open_current()) drain();
  }

 private:
  bool open_current() {
    Fd opened(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!opened) return false;
    fd_ = std::move(opened);
    return true;
  }
  void drain() {
    struct stat now {};
    if (fstat(fd_.get(), &now) == 0 && lseek(fd_.get(), 0, SEEK_CUR) > now.st_size) {
      lseek(fd_.get(), 0, SEEK_SET);
    }
    std::array<char, 65536> bytes;
    for (ssize_t size; (size = read(fd_.get(), bytes.data(), bytes.size())) > 0;) {
      partial_.append(bytes.data(), static_cast<std::size_t>(size));
      for (std::size_t end; (end = partial_.find('\n')) != std::string::npos;) {
        print(partial_.substr(0, end));
        partial_.erase(0, end + 1);
      }
      if (partial_.size() > bytes.size()) print(std::exchange(partial_, {}));
    }
  }
  void print(const std::string& line) const {
    std::fputs((prefix_ + printable(line) + "\n").c_str(), stdout);
  }

  std::string path_;
  std::string prefix_;
  Fd fd_;
  std::string partial_;
};

std::vector<Tail> tails_of(const std::vector<protocol::LogFiles>& logs, bool colour) {
  constexpr std::array<Tone, 3> kTones = {Tone::good, Tone::busy, Tone::faint};
  std::size_t widest = 0;
  for (const auto& files : logs) widest = std::max(widest, display_width(printable(files.watch)));
  std::vector<Tail> tails;
  for (const auto& files : logs) {
    const std::string name = printable(files.watch);
    const std::string padded = name + std::string(widest - display_width(name), ' ') + " | ";
    const bool split = !files.err_log.empty() && files.err_log != files.log;
    const std::string prefix =
        logs.size() > 1 ? paint(padded, kTones[tails.size() % kTones.size()], colour) : "";
    tails.emplace_back(files.log, prefix);
    if (split) tails.emplace_back(files.err_log, prefix);
  }
  return tails;
}

void follow(std::vector<Tail>& tails) {
  const Fd changes(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  for (Tail& tail : tails) {
    // The folder: a rotation shows there, and so does a file that does not exist yet.
    const std::string folder = tail.path().substr(0, tail.path().rfind('/') + 1);
    inotify_add_watch(changes.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  }
  for (;;) {
    for (Tail& tail : tails) tail.print_new();
    if (std::fflush(stdout) != 0) return;
    pollfd ready{changes.get(), POLLIN, 0};
    poll(&ready, 1, kLookMs);
    std::array<char, 4096> events;
    while (read(changes.get(), events.data(), events.size()) > 0) {
    }
  }
}

}  // namespace

int print_logs(const std::vector<protocol::LogFiles>& logs, const Invocation& invocation) {
  std::vector<Tail> tails = tails_of(logs, invocation.colour);
  bool unreadable = false;
  for (Tail& tail : tails) {
    if (tail.path().compare(0, 5, "/dev/") == 0) {
      std::fprintf(stderr, "supvctl: the output goes to %s\n", printable(tail.path()).c_str());
      continue;
    }
    if (access(tail.path().c_str(), R_OK) != 0 && (errno != ENOENT || !invocation.follow)) {
      std::fprintf(stderr, "supvctl: %s: %s\n", printable(tail.path()).c_str(),
                   std::strerror(errno));
      unreadable = true;
    }
    tail.print_last(invocation.lines.value_or(kDefaultLines));
    tail.start_at_end();
  }
  if (invocation.follow) {
    std::erase_if(tails, [](const Tail& tail) { return tail.path().compare(0, 5, "/dev/") == 0; });
    std::fflush(stdout);
    follow(tails);
  }
  return unreadable ? 1 : 0;
}

}  // namespace supv::ctl
