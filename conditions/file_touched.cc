#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <supv/condition.hpp>

namespace {

using supv::sdk::ok;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"path", SUPV_TEXT, nullptr, "The file; relative to `dir` of the watch.", 1, nullptr},
};

class FileTouched : public supv::sdk::Condition {
 public:
  explicit FileTouched(const supv::sdk::Host& host) : path_(host.path("path")) {
    if (path_.empty()) throw std::invalid_argument("path is empty");
  }

  Verdict poll(const supv_event&) override {
    struct stat status {};
    Seen now;
    if (::stat(path_.c_str(), &status) == 0) {
      now = {true, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return supv::sdk::unknown(path_ + ": " + std::strerror(errno));
    }
    const std::optional<Seen> before = std::exchange(before_, now);
    if (!now.exists) return ok("there is no " + path_);
    if (!before) return ok("first look");
    if (!before->exists) return supv::sdk::fire(path_ + " was created");
    if (before->seconds == now.seconds && before->nanoseconds == now.nanoseconds) {
      return ok("not touched");
    }
    return supv::sdk::fire(path_ + " was touched");
  }

 private:
  struct Seen {
    bool exists = false;
    std::int64_t seconds = 0;
    long nanoseconds = 0;
  };

  std::string path_;
  std::optional<Seen> before_;
};

}  // namespace

SUPV_CONDITION_THAT(FileTouched, "file_touched",
                    "True when a file was touched or created since the last look; the first look "
                    "is when the process has come up.",
                    SUPV_POLL, kOptions, SUPV_WAITS | SUPV_BASELINE | SUPV_NEWS);
