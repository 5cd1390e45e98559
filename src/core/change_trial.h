#pragma once

#include <optional>
#include <string>

#include "core/messages.h"
#include "core/timeline.h"

namespace supv {

/// Judges one change condition (consul_kv): is the newest valid sample another one than the run was
/// started under, and has it been quiet, spaced and spread long enough to act on? Lives as long as
/// its watch; begin() marks each new run.
class ChangeTrial {
 public:
  /// `spec` must have `kv` and outlive the trial. `salt` spreads the splay over hosts and watches.
  ChangeTrial(const ConditionSpec& spec, std::uint64_t salt)
      : spec_(&spec), salt_(salt), timeline_(spec.kv->window) {}

  /// A run, or a reload, begins under `baseline`; kind none: under whatever is seen first.
  void begin(const Sample& baseline, bool assumed);
  /// Takes a valid sample. True when what is to be recorded with the run has changed (a baseline
  /// that had to be assumed).
  bool see(Moment now, const Sample& sample);
  /// There is nothing to see; `why` is shown. Never acts, never clears.
  void trouble(std::string why) { trouble_ = std::move(why); }
  /// The condition is true.
  bool changed() const { return timeline_.changed(); }
  /// When it may act; nothing while it is not true. `what_for` is settle or splay.
  struct Readiness {
    Time at;
    const char* waiting_for;
  };
  std::optional<Readiness> ready() const;
  /// It was acted on.
  void acted(Time now);
  /// What was changed while supvd was away counts as seen (missed: ignore, notify).
  void rebase() { begin(latest_, timeline_.assumed()); }

  /// The newest valid sample, also one that `on_delete: hold` does not judge by.
  const Sample& latest() const { return latest_; }
  const Timeline& timeline() const { return timeline_; }
  /// Takes what an earlier brain wrote down; it is not an answer of this life.
  void recall(const Sample& sample) { latest_ = sample; }
  /// Takes what an earlier life knew, so that a reload of the configuration forgets nothing.
  void inherit(const ChangeTrial& old);
  ConditionReport report() const;
  std::optional<std::int64_t> checked_wall_ms() const { return checked_; }

 private:
  const ConditionSpec* spec_;
  std::uint64_t salt_;
  Timeline timeline_;
  Sample latest_;
  std::string trouble_ = "not asked yet";
  std::optional<std::int64_t> checked_;
  Time first_change_{};
  Time last_change_{};
  std::optional<Time> last_acted_;
  Sample acted_on_;  ///< The value it was acted on for; none since the run (or reload) began.
};

}  // namespace supv
