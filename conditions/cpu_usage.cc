#include <optional>
#include <supv/condition.hpp>

namespace {

using supv::sdk::percent_text;

constexpr supv_option kOptions[] = {
    {"above", SUPV_PERCENT, nullptr, "Fires above this; 100% is one core.", 1, nullptr},
    {"scope", SUPV_CHOICE, "tree", "The whole tree of processes, or the tracked one.", 0,
     "tree|process"},
};

class CpuUsage : public supv::sdk::Condition {
 public:
  explicit CpuUsage(const supv::sdk::Host& host)
      : host_(host),
        above_(host.number("above")),
        scope_(host.is("scope", "process") ? SUPV_SCOPE_PROCESS : SUPV_SCOPE_TREE) {}

  supv::sdk::Verdict poll(const supv_event& event) override {
    supv_usage usage{};
    if (!host_.usage(scope_, false, usage)) return supv::sdk::unknown("the process is gone");
    const Sample now{event.monotonic_ns, usage.cpu_ns};
    const std::optional<Sample> before = before_;
    if (before && now.at_ns <= before->at_ns) return supv::sdk::unknown("no time has passed");
    before_ = now;
    if (!before) return supv::sdk::unknown("first sample");
    const auto used = now.cpu_ns > before->cpu_ns ? now.cpu_ns - before->cpu_ns : 0;
    const double percent =
        100.0 * static_cast<double>(used) / static_cast<double>(now.at_ns - before->at_ns);
    if (percent <= above_) return supv::sdk::ok(percent_text(percent));
    return supv::sdk::fire(percent_text(percent) + ", above " + percent_text(above_));
  }

 private:
  struct Sample {
    std::int64_t at_ns;
    std::uint64_t cpu_ns;
  };

  supv::sdk::Host host_;
  double above_;
  supv_scope scope_;
  std::optional<Sample> before_;
};

}  // namespace

SUPV_CONDITION_THAT(CpuUsage, "cpu_usage",
                    "True when more CPU was used between two polls than allowed.", SUPV_POLL,
                    kOptions, SUPV_OF_PROCESS);
