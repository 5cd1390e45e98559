#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "watch_bench.h"

namespace supv {

/// A watch with what only some have (conditions of its phases, a task, contacts, ...), of which
/// every condition can be judged.
struct Bench : WatchBench {
  RareSpec rare;

  ConditionSpec& add(const std::string& name, Action action, std::uint8_t phases,
                     ConditionList list = ConditionList::transitions) {
    ConditionSpec one;
    one.name = name;
    one.id = name + "#1";
    one.action = action;
    one.phases = phases;
    one.list = list;
    one.interval = std::chrono::seconds(10);
    spec->conditions.push_back(one);
    return spec->conditions.back();
  }
  void make() {
    if (!(rare == RareSpec())) spec->rare = std::make_shared<const RareSpec>(rare);
    WatchBench::make();
  }
  const std::string state() const { return watch->shown_state(); }
  const fx::Arm* armed() const { return find<fx::Arm>(); }
  void judge(RunId number, std::uint32_t condition, bool yes, const std::string& reason = "so") {
    turn([&](Step& step) {
      watch->on_judged(step, {number, condition, yes ? Verdict::yes : Verdict::no, reason});
    });
  }
  void boot(bool fresh) {
    turn([&](Step& step) { watch->boot(step, fresh); });
  }
  void redefine() {
    auto next = std::make_shared<WatchSpec>(*spec);
    spec = next;
    turn([&](Step& step) { watch->redefine(step, next, true); });
  }
  void killed(RunId run, int signal) {
    turn([&](Step& step) {
      watch->on_exited(step, {run, {ExitStatus::How::signal, signal, false}, 0});
    });
    turn([&](Step& step) {
      watch->on_gone(step, {run, {ExitStatus::How::signal, signal, false}});
    });
  }
  /// Lets time pass up to the next deadline.
  void wait() {
    REQUIRE(watch->deadline());
    const auto time = std::max(*watch->deadline() - now.time, MonotonicClock::duration(0));
    pass(std::chrono::duration_cast<Duration>(time));
  }
  bool disarmed(RunId number) const {
    for (const Effect& effect : effects)
      if (const auto* deed = std::get_if<fx::Disarm>(&effect))
        if (deed->run == number) return true;
    return false;
  }
  std::string reason_of_note() const {
    const auto* note = find<fx::Note>();
    return note == nullptr ? "" : note->reason;
  }
};

}  // namespace supv
