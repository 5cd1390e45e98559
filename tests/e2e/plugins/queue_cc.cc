// A plugin in C++: as many files as that in a directory are too many.
#include <dirent.h>

#include <memory>
#include <string>
#include <supv/condition.hpp>

namespace {

using namespace supv::sdk;

constexpr supv_option kOptions[] = {
    {"dir", SUPV_TEXT, nullptr, "The queue; relative to `dir` of the watch.", 1, nullptr},
    {"above", SUPV_INTEGER, "10", "Fires when there are more files than this.", 0, nullptr},
};

class Queue : public Condition {
 public:
  explicit Queue(const Host& host) : dir_(host.path("dir")), above_(host.number("above")) {}

  Verdict poll(const supv_event&) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(dir_.c_str()), ::closedir);
    if (!open) return unknown(dir_ + " cannot be read");
    long count = 0;
    while (const dirent* entry = ::readdir(open.get())) count += entry->d_name[0] != '.' ? 1 : 0;
    Verdict verdict = static_cast<double>(count) > above_
                          ? fire(std::to_string(count) + " files are too many")
                          : ok(std::to_string(count) + " files");
    verdict.metrics = "files=" + std::to_string(count);
    return verdict;
  }

 private:
  std::string dir_;
  double above_;
};

}  // namespace

SUPV_CONDITION_THAT(Queue, "queue_cc", "True when a directory holds too many files.", SUPV_POLL,
                    kOptions, SUPV_WAITS);
