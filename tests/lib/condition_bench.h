#pragma once

#include <doctest/doctest.h>
#include <supv/condition.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "conditions/catalog.h"

namespace supv::test {

/// A built-in condition that may wait, as the host would hold it. Options are in base units;
/// fallbacks must be given, too, where they are not plain text.
class WaitingCondition {
 public:
  WaitingCondition(std::string_view name, std::map<std::string, std::string> options)
      : options_(std::move(options)) {
    for (const auto* one : builtin_conditions()) {
      if (name == one->name) descriptor_ = one;
    }
    REQUIRE(descriptor_ != nullptr);
    REQUIRE((descriptor_->flags & SUPV_WAITS) != 0);
    for (std::uint32_t i = 0; i < descriptor_->option_count; ++i) {
      const supv_option& option = descriptor_->options[i];
      if (option.fallback != nullptr) options_.emplace(option.name, option.fallback);
    }
    std::array<char, 256> message{};
    self_ = descriptor_->create(&host_, message.data(), message.size());
    error = message.data();
  }
  ~WaitingCondition() {
    if (self_ != nullptr) descriptor_->destroy(self_);
  }
  WaitingCondition(const WaitingCondition&) = delete;
  WaitingCondition& operator=(const WaitingCondition&) = delete;

  /// Looks at `wall_s` (Unix); the reason is then in `reason`.
  supv_outcome poll(std::int64_t wall_s = 0) {
    REQUIRE_MESSAGE(self_ != nullptr, error);
    supv_event event{};
    event.size = sizeof event;
    event.kind = SUPV_TICK;
    event.wall_ns = wall_s * 1'000'000'000;
    supv_verdict verdict{};
    verdict.size = sizeof verdict;
    verdict.outcome = SUPV_UNKNOWN;
    descriptor_->on_event(self_, &event, &verdict);
    reason = verdict.reason == nullptr ? "" : verdict.reason;
    return verdict.outcome;
  }

  std::string error;  ///< Why it could not be made.
  std::string reason;

 private:
  static const char* option(void* context, const char* name) {
    const auto& options = static_cast<WaitingCondition*>(context)->options_;
    const auto found = options.find(name);
    return found == options.end() ? nullptr : found->second.c_str();
  }
  static const char* watch_name(void*) { return "web"; }

  std::map<std::string, std::string> options_;
  const supv_condition_descriptor* descriptor_ = nullptr;
  supv_host host_ = [this] {
    supv_host host{};
    host.size = sizeof host;
    host.context = this;
    host.option = option;
    host.watch_name = watch_name;
    return host;
  }();
  void* self_ = nullptr;
};

}  // namespace supv::test
