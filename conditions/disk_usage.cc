#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <supv/condition.hpp>

namespace {

using supv::sdk::unknown;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"mount_point", SUPV_TEXT, nullptr,
     "A mount point, or any path: the file system that holds it is meant.", 1, nullptr},
    {"above", SUPV_PERCENT, nullptr, "Fires when more is used, in percent as df counts.", 1,
     nullptr},
};

/// Paths in /proc/self/mountinfo write some bytes as \ooo.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Where the file system that holds `path` is mounted; empty when the kernel does not say.
std::string mount_of(const std::string& path) {
  struct statx status {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &status) < 0) return {};
  if ((status.stx_mask & STATX_MNT_ID) == 0) return {};
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::uint64_t id = 0;
    std::string parent, device, root, mount;
    if (fields >> id >> parent >> device >> root >> mount && id == status.stx_mnt_id) {
      return unescape(mount);
    }
  }
  return {};
}

class DiskUsage : public supv::sdk::Condition {
 public:
  explicit DiskUsage(const supv::sdk::Host& host)
      : path_(host.path("mount_point")), above_(host.number("above")) {
    if (path_.empty()) throw std::invalid_argument("mount_point is empty");
    if (above_ >= 100) throw std::invalid_argument("above: nothing can be above 100%");
  }

  Verdict poll(const supv_event&) override {
    struct statvfs disk {};
    if (::statvfs(path_.c_str(), &disk) < 0) return unknown(path_ + ": " + std::strerror(errno));
    // As df counts: what is kept for root is neither used nor free, and parts count as a whole.
    const double used = static_cast<double>(disk.f_blocks) - static_cast<double>(disk.f_bfree);
    const double usable = used + static_cast<double>(disk.f_bavail);
    if (usable <= 0) return unknown(path_ + ": its file system has no size");
    const double percent = std::ceil(100 * used / usable);
    const std::string mount = mount_of(path_);
    std::string said = number(percent) + " of " + (mount.empty() ? path_ : mount);
    if (percent <= above_) return supv::sdk::ok(std::move(said));
    return supv::sdk::fire(said + ", above " + number(above_));
  }

 private:
  static std::string number(double percent) {
    return percent == std::floor(percent) ? std::to_string(static_cast<int>(percent)) + "%"
                                          : supv::sdk::percent_text(percent);
  }

  std::string path_;
  double above_;
};

}  // namespace

SUPV_CONDITION_THAT(DiskUsage, "disk_usage",
                    "True when more of a file system is used than allowed.", SUPV_POLL, kOptions,
                    SUPV_WAITS);
