// What a watch has its contacts told.
#include <fmt/format.h>

#include <algorithm>

#include "core/watch.h"

namespace supv {

/// `to` is whom the condition (or flapping) names; else the watch's own `notify`; else nobody.
void Watch::tell(Step& step, Notice::Kind kind, const Rare<NotifySpec>& to, std::string source,
                 std::string action, std::string text, bool lasts) const {
  const NotifySpec* whom = to ? &*to : spec_->rare ? &spec_->rare->notify : nullptr;
  if (whom == nullptr || whom->contacts.empty()) return;
  step.notices.push_back({kind, spec_->name, std::move(source), shown_state(), std::move(action),
                          std::move(text), *whom, step.now.wall_ms, lasts});
}

/// Changes that last, and every restart; not each step on the way.
void Watch::tell_state(Step& step, const Cause& cause) const {
  if (!spec_->rare || spec_->rare->notify.contacts.empty()) return;
  const bool restarts = state_ == State::starting && cause.action == "restart";
  if ((state_ == State::starting && !restarts) || state_ == State::stopping) return;
  const std::string why = cause.reason.empty() ? "" : ": " + cause.reason;
  tell(step, Notice::Kind::state, {}, "state", cause.action,
       fmt::format("{} is {}{}", spec_->name, restarts ? "restarted" : shown_state(), why));
}

void Watch::tell_flapping(Step& step, const std::string& text) const {
  static const Rare<NotifySpec> kNobody;
  const bool own = spec_->rare && spec_->rare->flapping;
  tell(step, Notice::Kind::flapping, own ? spec_->rare->flapping->notify : kNobody, "flapping",
       "stop", text);
}

/// god's behavior notify_when_flapping.
void Watch::count_start(Step& step) {
  if (!spec_->rare || !spec_->rare->flapping_notice) return;
  const FlappingNoticeSpec& notice = *spec_->rare->flapping_notice;
  starts_.push_back(step.now.time);
  if (starts_.size() > notice.failures) starts_.erase(starts_.begin());
  if (starts_.size() < notice.failures || starts_.back() - starts_.front() >= notice.within) return;
  tell(step, Notice::Kind::flapping, notice.notify, "notify_when_flapping", "",
       fmt::format("{} was started {} times within {}", spec_->name, notice.failures,
                   format_duration(notice.within)));
}

}  // namespace supv
