#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"running", SUPV_BOOLEAN, nullptr, "true: fires while it runs; false: while it does not.", 1,
     nullptr},
};

class ProcessRunning : public supv::sdk::Condition {
 public:
  explicit ProcessRunning(const supv::sdk::Host& host)
      : host_(host), running_(host.boolean("running")) {}

  supv::sdk::Verdict poll(const supv_event&) override {
    const int pid = host_.pid();
    const bool runs = pid != 0;
    std::string reason = runs ? "running, pid " + std::to_string(pid) : "not running";
    return runs == running_ ? supv::sdk::fire(std::move(reason)) : supv::sdk::ok(std::move(reason));
  }

 private:
  supv::sdk::Host host_;
  bool running_;
};

}  // namespace

SUPV_CONDITION_THAT(ProcessRunning, "process_running",
                    "True while the tracked process runs, or while it does not.", SUPV_POLL,
                    kOptions, SUPV_OF_PROCESS);
