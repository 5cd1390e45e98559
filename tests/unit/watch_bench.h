#pragma once

#include <fmt/format.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "core/watch.h"

/// One watch on a bench: every input is a call, every deed is looked at.
namespace supv {

struct WatchBench {
  std::shared_ptr<WatchSpec> spec = std::make_shared<WatchSpec>();
  std::unique_ptr<Watch> watch;
  RunIds ids;
  Random random{1};
  Moment now{Time(std::chrono::seconds(1000)), 1'000'000};
  std::vector<Effect> effects;
  std::vector<Notice> notices;

  WatchBench() {
    spec->name = "w";
    spec->process.start.argv = {"prog"};
    spec->ready.kind = ReadySpec::Kind::notify;
    spec->ladder = {{SIGTERM, Duration(5000)}, {SIGKILL, Duration(0)}};
    spec->backoff.jitter = 0;
  }
  void make() { watch = std::make_unique<Watch>(0, spec, 1); }

  template <typename Input>
  void turn(Input&& input) {
    effects.clear();
    Step step{now, effects, ids, random};
    input(step);
    notices = std::move(step.notices);
  }
  void pass(Duration time) {
    now.time += time;
    now.wall_ms += time.count();
    turn([&](Step& step) { watch->on_deadline(step); });
  }
  Cause by(const char* action) const { return {action, "operator", "test"}; }

  void start() {
    turn([&](Step& step) { watch->start(step, by("start")); });
  }
  void stop() {
    turn([&](Step& step) { watch->stop(step, by("stop")); });
  }
  void restart() {
    turn([&](Step& step) { watch->restart(step, by("restart")); });
  }
  void unmonitor() {
    turn([&](Step& step) { watch->unmonitor(step, by("unmonitor")); });
  }
  void monitor() {
    turn([&](Step& step) { watch->monitor(step, by("monitor")); });
  }
  void launched(RunId run) {
    turn([&](Step& step) { watch->on_launched(step, {run, 42, now}); });
  }
  void ready(RunId run) {
    turn([&](Step& step) { watch->on_ready(step, run); });
  }
  void exited(RunId run, int code = 1, std::uint32_t left = 0) {
    turn([&](Step& step) {
      watch->on_exited(step, {run, {ExitStatus::How::code, code, false}, left});
    });
  }
  void gone(RunId run, int code = 1) {
    turn([&](Step& step) { watch->on_gone(step, {run, {ExitStatus::How::code, code, false}}); });
  }
  void start_failed(RunId run) {
    turn([&](Step& step) { watch->on_start_failed(step, {run, "exec", ENOENT, ""}); });
  }
  void stuck(RunId run) {
    turn([&](Step& step) { watch->on_stuck(step, {run, 42, 1}); });
  }
  /// Ends the run that is, with the news in their order.
  void end(int code = 1) {
    const RunId run = watch->run();
    exited(run, code);
    gone(run, code);
  }

  template <typename Deed>
  std::size_t count() const {
    std::size_t found = 0;
    for (const Effect& effect : effects) found += std::holds_alternative<Deed>(effect) ? 1 : 0;
    return found;
  }
  template <typename Deed>
  const Deed* find() const {
    for (const Effect& effect : effects)
      if (const auto* deed = std::get_if<Deed>(&effect)) return deed;
    return nullptr;
  }

  /// Brings a new watch into a state by inputs alone.
  void enter(const std::string& state) {
    make();
    if (state == "stopped") return;
    start();
    launched(watch->run());
    if (state == "starting") return;
    if (state == "failed") {
      start_failed(watch->run());
      return;
    }
    ready(watch->run());
    if (state == "up") return;
    if (state == "stopping") return stop();
    if (state == "restarting") return restart();
    if (state == "stuck") {
      stop();
      return stuck(watch->run());
    }
    if (state == "unmonitored") return unmonitor();
    if (state == "exited") return end();
    // backoff: the first death restarts at once
    end();
    launched(watch->run());
    end();
  }
};

}  // namespace supv
