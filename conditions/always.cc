#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"what", SUPV_BOOLEAN, nullptr, "The verdict to give.", 1, nullptr},
};

class Always : public supv::sdk::Condition {
 public:
  explicit Always(const supv::sdk::Host& host) : what_(host.boolean("what")) {}
  supv::sdk::Verdict poll(const supv_event&) override {
    return what_ ? supv::sdk::fire("always true") : supv::sdk::ok("always false");
  }

 private:
  bool what_;
};

}  // namespace

SUPV_CONDITION(Always, "always", "True or false, as it is told.", SUPV_POLL, kOptions);
