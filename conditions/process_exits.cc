#include <cstring>
#include <supv/condition.hpp>

namespace {

class ProcessExits : public supv::sdk::Condition {
 public:
  explicit ProcessExits(const supv::sdk::Host&) {}

  supv::sdk::Verdict ended(const supv_event& event) override {
    if (event.exit_signal != 0) {
      const char* name = ::sigabbrev_np(event.exit_signal);
      return supv::sdk::fire("killed by " +
                             (name ? std::string(name) : std::to_string(event.exit_signal)));
    }
    if (event.exit_code < 0) return supv::sdk::fire("ended, status unknown");
    return supv::sdk::fire("exit " + std::to_string(event.exit_code));
  }
};

}  // namespace

SUPV_CONDITION(ProcessExits, "process_exits", "True when the process has ended by itself.",
               SUPV_EXIT, supv::sdk::kNoOptions);
