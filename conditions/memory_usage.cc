#include <supv/condition.hpp>

namespace {

using supv::sdk::bytes_text;

constexpr supv_option kOptions[] = {
    {"above", SUPV_SIZE, nullptr, "Fires when more than this is used.", 1, nullptr},
    {"scope", SUPV_CHOICE, "tree", "The whole tree of processes, or the tracked one.", 0,
     "tree|process"},
    {"of", SUPV_CHOICE, "pss", "Shared pages: pss counts each process's part, rss all of them.", 0,
     "pss|rss"},
};

class MemoryUsage : public supv::sdk::Condition {
 public:
  explicit MemoryUsage(const supv::sdk::Host& host)
      : host_(host),
        above_(host.number("above")),
        scope_(host.is("scope", "process") ? SUPV_SCOPE_PROCESS : SUPV_SCOPE_TREE),
        pss_(!host.is("of", "rss")) {}

  supv::sdk::Verdict poll(const supv_event&) override {
    supv_usage usage{};
    if (!host_.usage(scope_, false, usage)) return supv::sdk::unknown("the process is gone");
    const auto rss = static_cast<double>(usage.rss_bytes);
    // PSS is never more than RSS, and reading it costs a thousand times as much.
    if (rss <= above_) return supv::sdk::ok(bytes_text(rss) + (pss_ ? " RSS" : ""));
    if (!pss_) return judge(rss);
    if (!host_.usage(scope_, true, usage)) return supv::sdk::unknown("the process is gone");
    return judge(static_cast<double>(usage.pss_bytes));
  }

 private:
  supv::sdk::Verdict judge(double bytes) const {
    if (bytes <= above_) return supv::sdk::ok(bytes_text(bytes));
    return supv::sdk::fire(bytes_text(bytes) + ", above " + bytes_text(above_));
  }

  supv::sdk::Host host_;
  double above_;
  supv_scope scope_;
  bool pss_;
};

}  // namespace

SUPV_CONDITION_THAT(MemoryUsage, "memory_usage", "True when more memory is used than allowed.",
                    SUPV_POLL, kOptions, SUPV_OF_PROCESS);
