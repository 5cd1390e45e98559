#include <deque>
#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"times", SUPV_INTEGER, nullptr, "True from the so-many-th look on.", 1, nullptr},
    {"within", SUPV_DURATION, nullptr, "Only if the last `times` looks fell within this.", 0,
     nullptr},
};

constexpr int kMaxTimes = 10'000;

class Tries : public supv::sdk::Condition {
 public:
  explicit Tries(const supv::sdk::Host& host)
      : times_(static_cast<std::size_t>(std::max(host.number("times"), 0.0))),
        limited_(host.has("within")),
        within_ns_(static_cast<std::int64_t>(host.number("within") * 1e6)) {
    if (times_ < 1 || times_ > kMaxTimes) {
      throw std::invalid_argument("times: not from 1 to 10000: '" + host.text("times") + "'");
    }
  }

  supv::sdk::Verdict poll(const supv_event& event) override {
    looks_.push_back(event.monotonic_ns);
    if (looks_.size() > times_) looks_.pop_front();
    const std::string count = std::to_string(looks_.size()) + " of " + std::to_string(times_);
    if (looks_.size() < times_) return supv::sdk::ok(count);
    if (!limited_) return supv::sdk::fire(count);
    const std::int64_t took = looks_.back() - looks_.front();
    const std::string text = count + " within " + std::to_string(took / 1'000'000) + " ms";
    return took < within_ns_ ? supv::sdk::fire(text) : supv::sdk::ok(text);
  }

 private:
  std::size_t times_;
  bool limited_;
  std::int64_t within_ns_;
  std::deque<std::int64_t> looks_;
};

}  // namespace

SUPV_CONDITION(Tries, "tries",
               "True when it has been looked at so many times since the state it belongs to was "
               "entered; then it stays true.",
               SUPV_POLL, kOptions);
