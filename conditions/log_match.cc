#include <fcntl.h>
#include <regex.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <supv/condition.hpp>

namespace {

using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"pattern", SUPV_TEXT, nullptr,
     "POSIX extended regular expression, without back-references; looked for in the first 8 KiB of "
     "each line.",
     1, nullptr},
    {"path", SUPV_TEXT, nullptr,
     "The file; relative to `dir` of the watch. Without it: the watch's own output.", 0, nullptr},
};

constexpr std::size_t kMaxLine = std::size_t{8} * 1024;
constexpr std::size_t kMaxShown = 200;
constexpr std::size_t kMaxPattern = 1024;
/// States of the automaton, more or less: what a pattern may cost, whoever wrote it.
constexpr std::size_t kMaxStates = 4000;
/// What one look reads of one file; the rest is for the next one.
constexpr off_t kMaxLook = off_t{32} * 1024 * 1024;
/// After so many bytes the pattern is compiled anew: until then it remembers every state it met.
constexpr std::size_t kFresh = std::size_t{16} * 1024;

[[noreturn]] void refuse(const std::string& why) { throw std::invalid_argument("pattern: " + why); }

/// The end of the bracket expression that begins at `at`.
std::size_t skip_bracket(const std::string& text, std::size_t at) {
  std::size_t end = at + 1;
  if (end < text.size() && text[end] == '^') ++end;
  if (end < text.size() && text[end] == ']') ++end;
  for (; end < text.size() && text[end] != ']'; ++end) {
    if (text[end] != '[' || end + 1 >= text.size()) continue;
    if (std::strchr(":.=", text[end + 1]) == nullptr) continue;
    const std::size_t closed = text.find(std::string{text[end + 1], ']'}, end + 2);
    if (closed == std::string::npos) return text.size();
    end = closed + 1;
  }
  return end;
}

/// The larger bound of the repetition that begins at `at`.
std::size_t bound(const std::string& text, std::size_t at) {
  std::size_t most = 1;
  std::size_t number = 0;
  for (++at; at < text.size() && text[at] != '}'; ++at) {
    const bool digit = text[at] >= '0' && text[at] <= '9';
    number =
        digit ? std::min<std::size_t>(number * 10 + static_cast<std::size_t>(text[at] - '0'), 9999)
              : 0;
    most = std::max(most, number);
  }
  return most;
}

/// Refuses what regexec() can be made to blow up with: back-references and nested repetitions.
void check_cost(const std::string& text) {
  std::vector<std::size_t> groups = {0};
  std::size_t last = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '(') {
      groups.push_back(0);
      last = 0;
      continue;
    }
    if (text[i] == '{') {
      const std::size_t times = bound(text, i);
      groups.back() += last * (times - 1);
      last *= times;
      i = std::min(text.find('}', i), text.size());
    } else if (text[i] == ')' && groups.size() > 1) {
      last = groups.back();
      groups.pop_back();
      groups.back() += last;
    } else {
      if (text[i] == '[') i = skip_bracket(text, i);
      if (text[i] == '\\' && ++i < text.size() && text[i] >= '1' && text[i] <= '9') {
        refuse("back-references are not supported");
      }
      last = 1;
      groups.back() += 1;
    }
    if (groups.back() > kMaxStates) refuse("it repeats too much");
  }
}

/// A compiled pattern.
class Pattern {
 public:
  explicit Pattern(std::string text) : text_(std::move(text)) {
    if (text_.empty()) refuse("it is empty");
    if (text_.size() > kMaxPattern) refuse("it is longer than 1024 bytes");
    check_cost(text_);
    compile(text_);  // By itself: `a)(b` is none, though it would be one below.
    ::regfree(&compiled_);
    // Anchored, so that a line is gone through once and not again from each of its bytes.
    text_ = "^.*(" + text_ + ")";
    compile(text_);
  }
  ~Pattern() { ::regfree(&compiled_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool found_in(std::string line) {
    std::replace(line.begin(), line.end(), '\0', '\1');  // What no pattern can match.
    used_ += line.size();
    if (used_ > kFresh) {
      ::regfree(&compiled_);
      compile(text_);
    }
    regmatch_t range{0, static_cast<regoff_t>(line.size())};
    return ::regexec(&compiled_, line.data(), 0, &range, REG_STARTEND) == 0;
  }

 private:
  void compile(const std::string& text) {
    used_ = 0;
    const int error = ::regcomp(&compiled_, text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (error == 0) return;
    char message[128];
    ::regerror(error, &compiled_, message, sizeof message);
    refuse(message);
  }

  std::string text_;
  regex_t compiled_{};
  std::size_t used_ = 0;
};

using Take = std::function<void(const std::string& line)>;

/// Reads what is written to a file from its first look on, through rotation and truncation.
class Follower {
 public:
  explicit Follower(std::string path) : path_(std::move(path)) {}
  ~Follower() { close(); }
  Follower(Follower&& other) noexcept { *this = std::move(other); }
  Follower& operator=(Follower&& other) noexcept {
    path_ = std::move(other.path_);
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }

  /// Hands every line that has come to `take`. Returns why there is no file; empty: there is one.
  std::string look(const Take& take) {
    const bool first = std::exchange(first_, false);
    if (fd_ >= 0) read(take);
    struct stat named {};
    const bool there = ::stat(path_.c_str(), &named) == 0;
    const int error = there ? 0 : errno;
    if (fd_ >= 0 && there && named.st_dev == device_ && named.st_ino == inode_) return {};
    if (fd_ >= 0) {
      // Renamed or removed: what was written to it until now comes first.
      if (!read(take)) return {};
      if (!line_.empty()) end_line(take);
      close();
    }
    if (!there) return path_ + ": " + std::strerror(error);
    const std::string failure = open(first);
    if (failure.empty()) read(take);
    return failure;
  }

 private:
  /// `at_end`: only what comes from now on counts.
  std::string open(bool at_end) {
    // A FIFO must not be waited for, and not be read from: what is in it is for someone else.
    fd_ = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd_ < 0) return path_ + ": " + std::strerror(errno);
    struct stat status {};
    if (::fstat(fd_, &status) < 0 || !S_ISREG(status.st_mode)) {
      close();
      return path_ + " is not a regular file";
    }
    device_ = status.st_dev;
    inode_ = status.st_ino;
    offset_ = at_end ? status.st_size : 0;
    return {};
  }

  /// False when there is more than one look can take.
  bool read(const Take& take) {
    struct stat status {};
    if (::fstat(fd_, &status) < 0) return true;
    if (status.st_size < offset_) {
      offset_ = 0;
      line_.clear();
      skip_ = false;
    }
    const off_t end = std::min(status.st_size, offset_ + kMaxLook);
    char bytes[16 * 1024];
    while (offset_ < end) {
      const auto room = std::min(static_cast<std::size_t>(end - offset_), sizeof bytes);
      const ssize_t size = ::pread(fd_, bytes, room, offset_);
      if (size <= 0) return true;
      offset_ += size;
      split(bytes, static_cast<std::size_t>(size), take);
    }
    return end == status.st_size;
  }

  void split(const char* bytes, std::size_t size, const Take& take) {
    while (size > 0) {
      const auto* newline = static_cast<const char*>(std::memchr(bytes, '\n', size));
      const std::size_t part = newline ? static_cast<std::size_t>(newline - bytes) : size;
      if (!skip_) line_.append(bytes, std::min(part, kMaxLine - line_.size()));
      if (newline == nullptr) {
        // A line that never ends counts when it is long enough.
        if (!skip_ && line_.size() >= kMaxLine) end_line(take), skip_ = true;
        return;
      }
      if (!skip_) end_line(take);
      skip_ = false;
      bytes += part + 1;
      size -= part + 1;
    }
  }

  void end_line(const Take& take) {
    take(line_);
    line_.clear();
  }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    line_.clear();
    skip_ = false;
  }

  std::string path_;
  bool first_ = true;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  off_t offset_ = 0;
  std::string line_;   ///< Its beginning, if its end has not come.
  bool skip_ = false;  ///< The rest of a line that was too long.
};

/// At most kMaxShown bytes, not cut in the middle of a character.
std::string shortened(std::string line) {
  if (line.size() <= kMaxShown) return line;
  std::size_t end = kMaxShown;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  line.resize(end);
  return line + "...";
}

class LogMatch : public supv::sdk::Condition {
 public:
  explicit LogMatch(const supv::sdk::Host& host) : pattern_(host.text("pattern")) {
    if (host.has("path")) {
      if (host.text("path").empty()) throw std::invalid_argument("path is empty");
      followers_.emplace_back(host.path("path"));
      return;
    }
    std::istringstream logs(host.text("watch.log"));
    for (std::string path; std::getline(logs, path);) followers_.emplace_back(path);
  }

  Verdict poll(const supv_event&) override {
    std::size_t lines = 0;
    std::size_t matches = 0;
    std::string first;
    std::string failure = followers_.empty() ? "the watch has no log" : "";
    for (Follower& follower : followers_) {
      const std::string failed = follower.look([&](const std::string& line) {
        ++lines;
        if (pattern_.found_in(line) && ++matches == 1) first = line;
      });
      if (failure.empty()) failure = failed;
    }
    if (matches > 1) {
      return supv::sdk::fire(shortened(first) + " (and " + std::to_string(matches - 1) + " more)");
    }
    if (matches == 1) return supv::sdk::fire(shortened(first));
    if (!failure.empty()) return supv::sdk::unknown(failure);
    return supv::sdk::ok(lines == 0 ? "no new lines"
                                    : "no match in " + std::to_string(lines) + " new lines");
  }

 private:
  Pattern pattern_;
  std::vector<Follower> followers_;
};

}  // namespace

SUPV_CONDITION_THAT(LogMatch, "log_match",
                    "True when a line that matches was written since the last look; the first look "
                    "is when the process has come up.",
                    SUPV_POLL, kOptions, SUPV_WAITS | SUPV_BASELINE);
