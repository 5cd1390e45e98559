// Orders as they are written down, so that a new brain goes on with them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/orders.h"

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostGoalsWritten = 64;  ///< Larger orders are finished by what is wanted.

}  // namespace

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
  if (verb > static_cast<std::uint64_t>(Request::kLastVerb)) return {};
  order.request.verb = static_cast<Request::Verb>(verb);
  order.done = number(head) == 1;
  order.result.code = static_cast<int>(number(head));
  const auto age = now.wall_ms - static_cast<std::int64_t>(number(head));
  order.request.signal = static_cast<int>(number(head));
  order.expires =
      now.time + std::max<Duration>(kKeepResults - Duration(std::max<std::int64_t>(age, 0)), 1s);
  order.begun = true;
  while (!text.empty()) {
    std::string_view rest = line();
    Goal goal;
    goal.name = std::string(word(rest));
    goal.from = static_cast<RunId>(number(rest));
    goal.count = number(rest);
    goal.verb = static_cast<Request::Verb>(
        std::min<std::uint64_t>(number(rest), static_cast<std::uint64_t>(Request::kLastVerb)));
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
