#include <supv/condition.hpp>

namespace {

class OomKilled : public supv::sdk::Condition {
 public:
  explicit OomKilled(const supv::sdk::Host& host) : host_(host) {}

  supv::sdk::Verdict poll(const supv_event&) override {
    const std::string cgroup = host_.cgroup();
    if (cgroup.empty()) {
      return supv::sdk::unknown("the run has no cgroup of its own, in which kills are counted");
    }
    std::string text;
    if (!host_.read(cgroup + "/memory.events", text)) {
      return supv::sdk::unknown("no memory.events in " + cgroup +
                                ": the memory controller is not enabled there");
    }
    std::istringstream in(text);
    std::string name;
    unsigned long count = 0;
    while (in >> name >> count) {
      if (name != "oom_kill") continue;
      const unsigned long before = seen_;
      seen_ = count;
      if (count <= before) return supv::sdk::ok(std::to_string(count) + " killed so far");
      return supv::sdk::fire(std::to_string(count - before) + " killed for want of memory");
    }
    return supv::sdk::unknown("no oom_kill in memory.events");
  }

 private:
  supv::sdk::Host host_;
  // A run's cgroup is as old as the run: what it has counted before the first look counts as well.
  unsigned long seen_ = 0;
};

}  // namespace

SUPV_CONDITION_THAT(
    OomKilled, "oom_killed",
    "True when the kernel has killed a process of the run for want of memory since the "
    "last look. Needs a cgroup with the memory controller for each run.",
    SUPV_POLL, supv::sdk::kNoOptions, SUPV_OF_PROCESS);
