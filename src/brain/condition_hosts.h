#pragma once

#include <supv/condition.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "brain/usage.h"
#include "core/messages.h"

namespace supv {

/// The value of an option as a condition gets it: sizes in bytes, durations in milliseconds,
/// percentages in percent, everything else as it is. Text that is not of the type stays as it is;
/// the condition then refuses it.
std::string base_units(supv_type type, const std::string& text);

/// The living conditions of all runs, made from their descriptors. They are code of our own that
/// must not wait; each answers at once, and whatever goes wrong in one is its verdict *unknown*.
class ConditionHosts {
 public:
  struct Surroundings {
    std::vector<const supv_condition_descriptor*> catalog;  ///< Outlives the hosts.
    Usage* usage = nullptr;
    std::function<int(RunId run)> pid_of;  ///< The tracked process, 0: none.
    std::function<Moment()> now;
    std::function<void(ev::Judged)> judged;      ///< A verdict; may queue, must not call back.
    std::function<void(std::string_view)> slow;  ///< A call took more than 50 ms; in words.
  };
  explicit ConditionHosts(Surroundings surroundings);
  ~ConditionHosts();
  ConditionHosts(const ConditionHosts&) = delete;
  ConditionHosts& operator=(const ConditionHosts&) = delete;

  /// Makes the polled and exit conditions of a run. One that cannot be made is told as unknown
  /// each time it is asked.
  void arm(const fx::Arm& arm);
  void disarm(const fx::Disarm& disarm);
  /// Answers with exactly one ev::Judged, unless the condition concludes later. A run that is not
  /// armed answers nothing: its conditions are gone.
  void poll(const fx::Poll& poll);
  void tell_end(const fx::TellEnd& end);
  /// Runs with conditions.
  std::size_t armed() const { return runs_.size(); }

 private:
  class Living;
  using Conditions = std::vector<std::unique_ptr<Living>>;

  Living* find(RunId run, std::uint32_t condition);
  const supv_condition_descriptor* descriptor_of(std::string_view name) const;
  void ask(Living& living, supv_event event);

  Surroundings surroundings_;
  std::unordered_map<RunId, Conditions> runs_;
};

}  // namespace supv
