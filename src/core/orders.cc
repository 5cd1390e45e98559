#include "core/orders.h"

#include <fmt/format.h>

#include <algorithm>

namespace supv {

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

void Orders::look(Step& step, const Roster& roster) {
  for (auto order = orders_.begin(); order != orders_.end();) {
    if (!order->begun || order->done) {
      ++order;
      continue;
    }
    bool all = true;
    for (Goal& goal : order->goals) {
      if (!goal.done) judge(goal, order->request, roster.at(goal.watch));
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
  order.expires = step.now.time + kKeepResults;
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

}  // namespace supv
