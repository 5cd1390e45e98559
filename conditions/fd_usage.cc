#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"above", SUPV_TEXT, nullptr,
     "Fires when a process has more than this open: a number, or a percentage of its own soft "
     "limit.",
     1, nullptr},
    {"scope", SUPV_CHOICE, "tree",
     "Each process of the tree by itself (the one that has most counts), or the tracked one.", 0,
     "tree|process"},
};

/// How many descriptors a process has open; -1: cannot be found out.
long open_files(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  struct stat about {};
  // Since Linux 6.2 the directory's size is their number, at the cost of one system call.
  if (::stat(path.c_str(), &about) == 0 && about.st_size > 0) return about.st_size;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(path.c_str()), ::closedir);
  if (!listing) return -1;
  long count = 0;
  while (const dirent* entry = ::readdir(listing.get())) count += entry->d_name[0] != '.';
  return count;
}

class FdUsage : public supv::sdk::Condition {
 public:
  explicit FdUsage(const supv::sdk::Host& host)
      : host_(host), scope_(host.is("scope", "process") ? SUPV_SCOPE_PROCESS : SUPV_SCOPE_TREE) {
    std::string text = host.text("above");
    percent_ = !text.empty() && text.back() == '%';
    if (percent_) text.pop_back();
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    const bool number = static_cast<bool>(in >> above_);
    const bool whole = percent_ || above_ == static_cast<double>(static_cast<long>(above_));
    if (!number || in.peek() != std::istringstream::traits_type::eof() || above_ < 0 || !whole) {
      throw std::invalid_argument("above: neither a number nor a percentage: '" +
                                  host.text("above") + "'");
    }
    if (percent_ && above_ > 100) {
      throw std::invalid_argument("above: more than 100%: '" + host.text("above") + "'");
    }
  }

  supv::sdk::Verdict poll(const supv_event&) override {
    const auto pids = host_.pids(scope_);
    if (pids.empty()) return supv::sdk::unknown("the process is gone");
    Worst worst;
    for (const int pid : pids) look(pid, worst);
    // Some of them may have ended meanwhile.
    if (worst.pid == 0) return supv::sdk::unknown("the open files cannot be counted");
    std::string text = std::to_string(worst.open) + " open files";
    if (percent_) text += " of " + std::to_string(worst.limit);
    text += ", pid " + std::to_string(worst.pid);
    if (worst.value <= above_) return supv::sdk::ok(text);
    return supv::sdk::fire(text + ", above " + host_.text("above"));
  }

 private:
  struct Worst {
    int pid = 0;
    long open = 0;
    long limit = 0;
    double value = -1;
  };

  void look(int pid, Worst& worst) const {
    const long open = open_files(pid);
    const long limit = percent_ ? soft_limit(pid) : 0;
    if (open < 0 || limit < 0) return;
    const double value = !percent_ ? static_cast<double>(open)
                         : limit == 0
                             ? 0
                             : 100.0 * static_cast<double>(open) / static_cast<double>(limit);
    if (value > worst.value) worst = {pid, open, limit, value};
  }

  /// 0: unlimited; -1: cannot be found out.
  long soft_limit(int pid) const {
    std::string text;
    if (!host_.read("/proc/" + std::to_string(pid) + "/limits", text)) return -1;
    const std::string name = "Max open files";
    const std::size_t at = text.find(name);
    if (at == std::string::npos) return -1;
    std::istringstream rest(text.substr(at + name.size()));
    std::string soft;
    rest >> soft;
    if (soft == "unlimited") return 0;
    std::istringstream digits(soft);
    long limit = -1;
    return digits >> limit ? limit : -1;
  }

  supv::sdk::Host host_;
  supv_scope scope_;
  double above_ = 0;
  bool percent_ = false;
};

}  // namespace

SUPV_CONDITION_THAT(FdUsage, "fd_usage",
                    "True when a process has more files, sockets and pipes open than allowed.",
                    SUPV_POLL, kOptions, SUPV_OF_PROCESS);
