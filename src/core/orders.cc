#include "core/orders.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr Duration kKeep = 10min;
constexpr std::size_t kMostGoalsWritten = 64;  ///< Larger orders are finished by what is wanted.

std::string up_text(const Watch& watch) {
  return watch.pid() > 0 ? fmt::format("up, pid {}", watch.pid()) : "up";
}

}  // namespace

bool Orders::take(Step& step, const Request& request) {
  if (!request.action_id.empty()) {
    const auto known = std::find_if(orders_.begin(), orders_.end(), [&](const Order& order) {
      return order.request.action_id == request.action_id;
    });
    if (known != orders_.end()) {
      if (known->done)
        step.emit(fx::Reply{request.client, request.tag, false, known->result});
      else
        known->audience.emplace_back(request.client, request.tag);
      return false;
    }
  }
  orders_.push_back({});
  newest().request = request;
  newest().audience.emplace_back(request.client, request.tag);
  return true;
}

void Orders::begin(Step& step, const Roster& roster, std::string text) {
  Order& order = newest();
  order.begun = true;
  order.result.text = std::move(text);
  Duration longest{0};
  for (const Goal& goal : order.goals)
    if (const Watch* watch = roster.at(goal.watch); watch != nullptr && !goal.done)
      longest = std::max(longest, watch->expected(goal.verb != Request::Verb::start));
  write_down(step, order);
  Report progress;
  progress.expect_ms = longest.count();
  for (const auto& [client, tag] : order.audience)
    step.emit(fx::Reply{client, tag, true, progress});
}

void Orders::overtake(Step& step) {
  const auto side = [](Request::Verb verb) {
    const bool up = verb == Request::Verb::start || verb == Request::Verb::restart ||
                    verb == Request::Verb::monitor;
    const bool down = verb == Request::Verb::stop || verb == Request::Verb::unmonitor;
    return up ? 1 : down ? -1 : 0;
  };
  for (Order& order : orders_) {
    if (order.done || &order == &newest()) continue;
    bool lost = false;
    for (Goal& goal : order.goals)
      for (const Goal& later : newest().goals) {
        if (goal.done || later.done || goal.watch != later.watch) continue;
        if (side(goal.verb) * side(later.verb) != -1) continue;
        goal.done = lost = true;
        goal.text = later.verb == Request::Verb::stop        ? "overtaken by a stop"
                    : later.verb == Request::Verb::unmonitor ? "overtaken by an unmonitor"
                                                             : "overtaken by a start";
      }
    if (lost) write_down(step, order);
  }
}

Orders::Goal& Orders::goal_of(std::uint32_t watch) {
  const auto at = std::find_if(newest().goals.begin(), newest().goals.end(),
                               [&](const Goal& goal) { return goal.watch == watch; });
  SUPV_CHECK(at != newest().goals.end());
  return *at;
}

void Orders::answer(Step& step, Report report) {
  Order& order = newest();
  order.begun = true;
  order.goals.clear();
  order.result = std::move(report);
  finish(step, order);
  if (order.request.action_id.empty()) orders_.pop_back();
}

bool Orders::resume(std::uint64_t ticket) {
  for (auto order = orders_.begin(); order != orders_.end(); ++order) {
    if (order->ticket != ticket || order->done) continue;
    orders_.splice(orders_.end(), orders_, order);
    return true;
  }
  return false;
}

void Orders::judge(Goal& goal, const Request& request, const Watch* watch, Time) {
  const auto settle = [&](bool ok, std::string text) {
    goal.done = true;
    goal.ok = ok;
    goal.text = std::move(text);
  };
  if (watch == nullptr || watch->removed()) return settle(goal.removes, "gone");
  const State state = watch->state();
  const bool at_end = state == State::backoff || state == State::failed;
  switch (goal.verb) {
    case Request::Verb::start:
    case Request::Verb::restart:
    case Request::Verb::monitor:
      if (state == State::up && (watch->run() != goal.from || watch->restarts() > goal.count))
        return settle(true, up_text(*watch));
      if (at_end)
        return settle(false, fmt::format("{}: {}", watch->shown_state(), watch->failure()));
      if (state == State::exited)
        return settle(watch->failure() == "exit 0", "exited: " + watch->failure());
      if (state == State::stuck) return settle(false, "stuck: " + watch->failure());
      if (state == State::stopped) return settle(false, "stopped meanwhile");
      return;
    case Request::Verb::stop:
      if (goal.removes) {
        if (!watch->leaving()) settle(false, "the configuration names it again");
        return;
      }
      if (state == State::stuck) return settle(false, "stuck: " + watch->failure());
      if (!watch->at_rest()) {
        if (watch->wanted() && state == State::up) settle(false, "started again meanwhile");
        return;
      }
      return settle(!watch->wanted(), watch->shown_state());
    case Request::Verb::reload:
      if (watch->reloads() > goal.count)
        return settle(!watch->reload_failed(),
                      watch->reload_failed() ? "the reload command failed" : "reloaded");
      if (state != State::up) return settle(false, watch->shown_state());
      return;
    case Request::Verb::wait:
      if (request.until == "launched") {
        const bool good =
            !watch->launch_failed() &&
            (watch->failure().empty() || state == State::starting || state == State::up);
        if (!watch->launched_once()) return;
        if (watch->kept_down()) return settle(true, kStaysStopped);
        settle(good, good ? watch->shown_state() : watch->failure());
      } else if (request.until == "stopped" || request.until == "gone") {
        const bool gone = watch->at_rest() && (request.until == "gone" || state == State::stopped ||
                                               state == State::exited || state == State::failed);
        if (gone) settle(true, watch->shown_state());
      } else if (state == State::up) {
        settle(true, up_text(*watch));
      } else if (request.until == "settled" && (at_end || state == State::exited)) {
        settle(false, fmt::format("{}: {}", watch->shown_state(), watch->failure()));
      } else if (state == State::failed || state == State::stuck ||
                 (state == State::stopped && !watch->wanted())) {
        settle(false, fmt::format("{}{}{}", watch->shown_state(),
                                  watch->failure().empty() ? "" : ": ", watch->failure()));
      }
      return;
    case Request::Verb::terminate:
      if (watch->at_rest()) settle(true, "stopped");
      return;
    case Request::Verb::status:
    case Request::Verb::show:
    case Request::Verb::why:
    case Request::Verb::plan:
    case Request::Verb::events:
    case Request::Verb::signal:
    case Request::Verb::unmonitor:
    case Request::Verb::hold:
    case Request::Verb::release:
    case Request::Verb::load:
    case Request::Verb::quit:
      return settle(true, watch->shown_state());
  }
}

void Orders::look(Step& step, const Roster& roster) {
  for (auto order = orders_.begin(); order != orders_.end();) {
    if (!order->begun || order->done) {
      ++order;
      continue;
    }
    bool all = true;
    for (Goal& goal : order->goals) {
      if (!goal.done) judge(goal, order->request, roster.at(goal.watch), step.now.time);
      all = all && goal.done;
    }
    if (all) finish(step, *order);
    if (order->done && order->request.action_id.empty())
      order = orders_.erase(order);
    else
      ++order;
  }
}

void Orders::finish(Step& step, Order& order) {
  order.done = true;
  order.expires = step.now.time + kKeep;
  if (!order.goals.empty()) {
    const auto count = [&](auto&& is) {
      return std::count_if(order.goals.begin(), order.goals.end(), is);
    };
    const auto all = static_cast<std::ptrdiff_t>(order.goals.size());
    const auto bad = count([](const Goal& goal) { return !goal.ok; });
    const auto refused = count([](const Goal& goal) { return goal.refused; });
    order.result.code = bad == 0         ? code::kDone
                        : refused == all ? code::kRefused
                        : bad == all     ? code::kFailed
                                         : code::kPartial;
    for (const Goal& goal : order.goals)
      order.result.outcomes.push_back({goal.name, goal.ok, goal.text});
  }
  write_down(step, order);
  for (const auto& [client, tag] : order.audience)
    if (client != ClientId::none) step.emit(fx::Reply{client, tag, false, order.result});
  order.audience.clear();
}

void Orders::forget_client(ClientId client) {
  for (auto order = orders_.begin(); order != orders_.end();) {
    std::erase_if(order->audience, [&](const auto& one) { return one.first == client; });
    const bool idle =
        order->audience.empty() && !order->done && order->request.verb == Request::Verb::wait;
    order = idle ? orders_.erase(order) : std::next(order);
  }
}

std::optional<Time> Orders::deadline() const {
  std::optional<Time> first;
  for (const Order& order : orders_)
    if (order.done && (!first || order.expires < *first)) first = order.expires;
  return first;
}

void Orders::on_deadline(Step& step) {
  for (auto order = orders_.begin(); order != orders_.end();) {
    if (!order->done || order->expires > step.now.time) {
      ++order;
      continue;
    }
    if (!order->request.action_id.empty())
      step.emit(fx::Remember{"action/" + order->request.action_id, "", false, false});
    order = orders_.erase(order);
  }
}

// --- across brains ---------------------------------------------------------------------------

void Orders::write_down(Step& step, const Order& order) const {
  if (order.request.action_id.empty()) return;
  std::string text =
      fmt::format("{} {} {} {} {}\n", static_cast<int>(order.request.verb), order.done ? 1 : 0,
                  order.result.code, step.now.wall_ms, order.request.signal);
  std::size_t written = 0;
  for (const Goal& goal : order.goals) {
    if (++written > kMostGoalsWritten) break;
    text += fmt::format("{} {} {} {} {} {} {}\n", goal.name, static_cast<std::uint64_t>(goal.from),
                        goal.count, static_cast<int>(goal.verb), goal.removes ? 1 : 0,
                        goal.done ? (goal.ok ? 2 : 1) : 0, goal.text.substr(0, 60));
  }
  step.emit(fx::Remember{"action/" + order.request.action_id, std::move(text), false, false});
}

bool Orders::ends_supvd(const Memory& memory) {
  return memory.text.starts_with(fmt::format("{} ", static_cast<int>(Request::Verb::terminate)));
}

std::vector<Orders::Unfinished> Orders::restore(const Memory& memory, Moment now,
                                                const Roster& roster) {
  std::string_view text = memory.text;
  const auto line = [&] {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return one;
  };
  const auto word = [](std::string_view& rest) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    const std::string_view one = rest.substr(0, space);
    rest.remove_prefix(std::min(space + 1, rest.size()));
    return one;
  };
  const auto number = [&](std::string_view& rest) {
    std::uint64_t value = 0;
    const std::string_view digits = word(rest);
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  std::string_view head = line();
  Order order;
  order.request.action_id = memory.key.substr(7);
  const std::uint64_t verb = number(head);
  if (verb > static_cast<std::uint64_t>(Request::Verb::terminate)) return {};
  order.request.verb = static_cast<Request::Verb>(verb);
  order.done = number(head) == 1;
  order.result.code = static_cast<int>(number(head));
  const auto age = now.wall_ms - static_cast<std::int64_t>(number(head));
  order.request.signal = static_cast<int>(number(head));
  order.expires =
      now.time + std::max<Duration>(kKeep - Duration(std::max<std::int64_t>(age, 0)), 1s);
  order.begun = true;
  while (!text.empty()) {
    std::string_view rest = line();
    Goal goal;
    goal.name = std::string(word(rest));
    goal.from = static_cast<RunId>(number(rest));
    goal.count = number(rest);
    goal.verb = static_cast<Request::Verb>(std::min<std::uint64_t>(
        number(rest), static_cast<std::uint64_t>(Request::Verb::terminate)));
    goal.removes = number(rest) == 1;
    const std::uint64_t end = number(rest);
    goal.done = end != 0;
    goal.ok = end == 2;
    goal.text = std::string(rest);
    goal.watch = ~0U;
    for (const std::uint32_t each : roster.all())
      if (roster.at(each)->spec().name == goal.name) goal.watch = each;
    const Watch* watch = roster.at(goal.watch);
    const bool lost = goal.verb == Request::Verb::reload || goal.verb == Request::Verb::signal ||
                      (goal.verb == Request::Verb::hold && watch != nullptr && !watch->held());
    if (!goal.done && lost) {
      goal.done = true;
      goal.text = "supvd was interrupted; look, and ask again";
    }
    order.goals.push_back(std::move(goal));
  }
  if (order.done)
    for (const Goal& goal : order.goals)
      order.result.outcomes.push_back({goal.name, goal.ok, goal.text});
  std::vector<Unfinished> unfinished;
  if (!order.done) unfinished.push_back({order.request, order.goals});
  orders_.push_back(std::move(order));
  return unfinished;
}

}  // namespace supv
