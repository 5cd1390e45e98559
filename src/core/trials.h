#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/messages.h"
#include "core/rare.h"
#include "core/trial.h"

namespace supv {

/// The trials of one watch's polled and exit conditions, and of the all, any and not that are made
/// of them: when each is asked, what it said, and whether it holds. Which of them count is a matter
/// of phases (core/spec.h); whoever owns the trials says which phase it is. They never act.
class Trials {
 public:
  /// `spec` must outlive them, `salt` spreads the splay over hosts and watches.
  Trials(const WatchSpec& spec, std::uint64_t salt);

  /// The conditions that are judged in one of `phases` and can be asked (an all, any or not
  /// cannot).
  std::vector<std::uint32_t> members(std::uint8_t phases) const;
  /// One of `phases` begins: what was counted is forgotten, the first beats are set.
  void begin(Time now, std::uint8_t phases);
  /// It is over: nothing is awaited and nothing holds any more.
  void end(std::uint8_t phases);

  /// Those whose beat has come; each is awaited until take() has its answer.
  std::vector<std::uint32_t> take_due(Time now, std::uint8_t phases);
  /// The next beat.
  std::optional<Time> next(std::uint8_t phases) const;

  /// Takes an answer. The condition of a list that has a verdict by it: itself, or the outermost
  /// whole that it is a part of; nothing while other parts are awaited.
  std::optional<std::uint32_t> take(Moment now, const ev::Judged& news);

  /// It is true now, and has been often enough.
  bool holds(std::uint32_t condition) const { return entries_[condition].holds; }
  Verdict verdict(std::uint32_t condition) const { return entries_[condition].verdict; }
  const std::string& reason(std::uint32_t condition) const { return entries_[condition].reason; }
  bool checked(std::uint32_t condition) const { return entries_[condition].checked.has_value(); }
  /// After it has acted and goes on being judged, the count begins anew.
  void clear(std::uint32_t condition);

  /// When a condition that holds may act: at once, or after its splay. Sets the time at the first
  /// call since it holds.
  Time may_act_at(std::uint32_t condition, Time now);
  std::optional<Time> act_at(std::uint32_t condition) const { return entries_[condition].act_at; }
  /// Those that hold and whose splay ends by now; told once.
  std::vector<std::uint32_t> take_splayed(Time now);
  std::optional<Time> next_splay() const;
  /// A condition that holds and waits for its splay.
  std::optional<std::uint32_t> waiting() const;

  /// Whether somebody has been told that it holds, and not yet that it is over.
  bool told(std::uint32_t condition) const { return entries_[condition].told; }
  void set_told(std::uint32_t condition, bool told) { entries_[condition].told = told; }

  /// Takes what an earlier definition's trials told of conditions that are still there.
  void inherit(const Trials& old, const WatchSpec& before);
  ConditionReport report(std::uint32_t condition) const;

 private:
  struct Entry {
    explicit Entry(TimesSpec times) : trial(times) {}
    Trial trial;
    Verdict verdict = Verdict::unknown;
    bool holds = false;
    bool pending = false;
    bool told = false;
    std::uint8_t streak = 0;  ///< degrading: true answers in a row.
    Time next{};
    std::optional<Time> act_at;
    bool woken = false;  ///< take_splayed() has told of act_at.
    std::string reason;
    RareText metrics;  ///< As they came with the verdict.
    std::optional<std::int64_t> checked;
  };

  const ConditionSpec& condition(std::size_t index) const { return spec_->conditions[index]; }
  bool counts(std::size_t index, std::uint8_t phases) const;
  Duration interval(std::size_t index) const;
  bool awaited(std::size_t index) const;
  void record(Moment now, std::size_t index, Verdict verdict, std::string reason, RareText metrics);
  bool combine(Moment now, std::size_t whole);

  const WatchSpec* spec_;
  std::uint64_t salt_;
  std::vector<Entry> entries_;
};

}  // namespace supv
