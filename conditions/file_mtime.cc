#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <supv/condition.hpp>

namespace {

using supv::sdk::duration_text;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"path", SUPV_TEXT, nullptr, "The file; relative to `dir` of the watch.", 1, nullptr},
    {"max_age", SUPV_DURATION, nullptr, "Fires when its last change is longer ago.", 1, nullptr},
};

class FileMtime : public supv::sdk::Condition {
 public:
  explicit FileMtime(const supv::sdk::Host& host)
      : path_(host.path("path")), max_age_ms_(host.number("max_age")) {
    if (path_.empty()) throw std::invalid_argument("path is empty");
  }

  Verdict poll(const supv_event& event) override {
    struct stat status {};
    if (::stat(path_.c_str(), &status) < 0) {
      return supv::sdk::unknown(path_ + ": " + std::strerror(errno));
    }
    const double changed_ms = static_cast<double>(status.st_mtim.tv_sec) * 1e3 +
                              static_cast<double>(status.st_mtim.tv_nsec) / 1e6;
    const double age_ms = static_cast<double>(event.wall_ns) / 1e6 - changed_ms;
    // The clock of a file server may be ahead of ours.
    if (age_ms < 0) return supv::sdk::ok("changed just now");
    std::string said = "changed " + duration_text(age_ms) + " ago";
    if (age_ms <= max_age_ms_) return supv::sdk::ok(std::move(said));
    return supv::sdk::fire(said + ", above " + duration_text(max_age_ms_));
  }

 private:
  std::string path_;
  double max_age_ms_;
};

}  // namespace

SUPV_CONDITION_THAT(FileMtime, "file_mtime",
                    "True when a file has not been changed for longer than allowed.", SUPV_POLL,
                    kOptions, SUPV_WAITS);
