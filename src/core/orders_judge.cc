// When the goal of an order is met, or lost.
#include <fmt/format.h>

#include "core/orders.h"

namespace supv {
namespace {

/// How a goal ended.
struct End {
  bool ok;
  std::string text;
};
using MaybeEnd = std::optional<End>;

std::string up_text(const Watch& watch) {
  return watch.pid() > 0 ? fmt::format("up, pid {}", watch.pid()) : "up";
}

std::string with_failure(const Watch& watch) {
  return watch.failure().empty() ? watch.shown_state()
                                 : fmt::format("{}: {}", watch.shown_state(), watch.failure());
}

bool gave_in(const Watch& watch) {
  return watch.state() == State::backoff || watch.state() == State::failed;
}

MaybeEnd judge_up(const Orders::Goal& goal, const Watch& watch) {
  const State state = watch.state();
  if (state == State::up && (watch.run() != goal.from || watch.restarts() > goal.count))
    return End{true, up_text(watch)};
  if (gave_in(watch) || state == State::stuck) return End{false, with_failure(watch)};
  if (state == State::exited) return End{watch.failure() == "exit 0", with_failure(watch)};
  if (state == State::stopped) return End{false, "stopped meanwhile"};
  return std::nullopt;
}

MaybeEnd judge_down(const Orders::Goal& goal, const Watch& watch) {
  if (goal.removes) {
    if (watch.leaving()) return std::nullopt;
    return End{false, "the configuration names it again"};
  }
  if (watch.state() == State::stuck) return End{false, with_failure(watch)};
  if (watch.at_rest()) return End{!watch.wanted(), watch.shown_state()};
  if (watch.wanted() && watch.state() == State::up) return End{false, "started again meanwhile"};
  return std::nullopt;
}

MaybeEnd judge_reload(const Orders::Goal& goal, const Watch& watch) {
  if (watch.reloads() > goal.count) {
    const bool failed = watch.reload_failed();
    return End{!failed, failed ? "the reload command failed" : "reloaded"};
  }
  if (watch.state() != State::up) return End{false, watch.shown_state()};
  return std::nullopt;
}

MaybeEnd judge_launched(const Watch& watch) {
  if (!watch.launched_once()) return std::nullopt;
  if (watch.kept_down()) return End{true, kStaysStopped};
  const bool on_its_way = watch.state() == State::starting || watch.state() == State::up;
  const bool good = !watch.launch_failed() && (watch.failure().empty() || on_its_way);
  return End{good, good ? watch.shown_state() : watch.failure()};
}

MaybeEnd judge_wait(const std::string& until, const Watch& watch) {
  const State state = watch.state();
  if (until == "launched") return judge_launched(watch);
  if (until == "stopped" || until == "gone") {
    const bool down = state == State::stopped || state == State::exited || state == State::failed;
    if (watch.at_rest() && (down || until == "gone")) return End{true, watch.shown_state()};
    return std::nullopt;
  }
  if (state == State::up) return End{true, up_text(watch)};
  const bool settled = until == "settled" && (gave_in(watch) || state == State::exited);
  const bool hopeless = state == State::failed || state == State::stuck ||
                        (state == State::stopped && !watch.wanted());
  if (settled || hopeless) return End{false, with_failure(watch)};
  return std::nullopt;
}

MaybeEnd judge_one(const Orders::Goal& goal, const Request& request, const Watch& watch) {
  switch (goal.verb) {
    case Request::Verb::start:
    case Request::Verb::restart:
    case Request::Verb::monitor:
      return judge_up(goal, watch);
    case Request::Verb::stop:
      return judge_down(goal, watch);
    case Request::Verb::reload:
      return judge_reload(goal, watch);
    case Request::Verb::wait:
      return judge_wait(request.until, watch);
    case Request::Verb::remove:
      return std::nullopt;  // gone is when there is no watch any more
    case Request::Verb::terminate:
      return watch.at_rest() ? MaybeEnd(End{true, "stopped"}) : std::nullopt;
    case Request::Verb::status:
    case Request::Verb::show:
    case Request::Verb::why:
    case Request::Verb::plan:
    case Request::Verb::events:
    case Request::Verb::probe:
    case Request::Verb::signal:
    case Request::Verb::unmonitor:
    case Request::Verb::hold:
    case Request::Verb::release:
    case Request::Verb::load:
    case Request::Verb::quit:
      return End{true, watch.shown_state()};
  }
  return std::nullopt;
}

}  // namespace

void Orders::judge(Goal& goal, const Request& request, const Watch* watch) {
  MaybeEnd end = End{goal.removes, "gone"};
  if (watch != nullptr && !watch->removed()) end = judge_one(goal, request, *watch);
  if (!end) return;
  goal.done = true;
  goal.ok = end->ok;
  goal.text = std::move(end->text);
}

}  // namespace supv
