#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"above", SUPV_INTEGER, nullptr, "Fires when there are more than this.", 1, nullptr},
    {"scope", SUPV_CHOICE, "tree", "The whole tree of processes, or the tracked one.", 0,
     "tree|process"},
};

class Threads : public supv::sdk::Condition {
 public:
  explicit Threads(const supv::sdk::Host& host)
      : host_(host),
        above_(host.number("above")),
        scope_(host.is("scope", "process") ? SUPV_SCOPE_PROCESS : SUPV_SCOPE_TREE) {
    if (above_ < 0) throw std::invalid_argument("above: below 0: '" + host.text("above") + "'");
  }

  supv::sdk::Verdict poll(const supv_event&) override {
    supv_usage usage{};
    if (!host_.usage(scope_, false, usage)) return supv::sdk::unknown("the process is gone");
    const std::string text = std::to_string(usage.threads) + " threads";
    if (static_cast<double>(usage.threads) <= above_) return supv::sdk::ok(text);
    return supv::sdk::fire(text + ", above " + host_.text("above"));
  }

 private:
  supv::sdk::Host host_;
  double above_;
  supv_scope scope_;
};

}  // namespace

SUPV_CONDITION_THAT(Threads, "threads", "True when there are more threads than allowed.", SUPV_POLL,
                    kOptions, SUPV_OF_PROCESS);
