// What people ask for: queries are answered at once, orders when they are done.
#include <fmt/format.h>

#include <algorithm>

#include "core/definition.h"
#include "core/supervisor.h"

namespace supv {
namespace {

bool is_query(Request::Verb verb) {
  switch (verb) {
    case Request::Verb::status:
    case Request::Verb::show:
    case Request::Verb::why:
    case Request::Verb::events:
    case Request::Verb::probe:
      return true;
    case Request::Verb::wait:
    case Request::Verb::plan:
    case Request::Verb::start:
    case Request::Verb::stop:
    case Request::Verb::restart:
    case Request::Verb::reload:
    case Request::Verb::signal:
    case Request::Verb::monitor:
    case Request::Verb::unmonitor:
    case Request::Verb::hold:
    case Request::Verb::release:
    case Request::Verb::load:
    case Request::Verb::quit:
    case Request::Verb::terminate:
    case Request::Verb::remove:
      return false;
  }
  return false;
}

bool needs_selector(Request::Verb verb) {
  return !is_query(verb) && verb != Request::Verb::load && verb != Request::Verb::plan &&
         verb != Request::Verb::quit && verb != Request::Verb::terminate;
}

Cause cause_of(const Request& request, const char* action) {
  std::string reason = request.reason;
  if (reason.empty()) reason = request.by.empty() ? "asked for" : "asked for by " + request.by;
  return {action, "operator", reason};
}

}  // namespace

void Supervisor::on(Step& step, const ev::Asked& event) {
  const Request& request = event.request;
  const bool load = request.verb == Request::Verb::load || request.verb == Request::Verb::plan;
  std::string unknown;
  std::vector<std::uint32_t> chosen;
  if (!load) chosen = roster_.select(request, unknown);
  const bool selects = !request.select.empty() || !request.files.empty() || request.all;
  if (is_query(request.verb)) {
    if (!unknown.empty()) {
      Report report;
      report.code = code::kNoSuchWatch;
      report.text = unknown;
      return step.emit(fx::Reply{request.client, request.tag, false, std::move(report)});
    }
    if (request.verb == Request::Verb::probe) return probe(step, request, chosen);
    return query(step, request, selects ? chosen : roster_.all());
  }
  if (!orders_.take(step, request)) return;
  if (!unknown.empty())
    return orders_.answer(step, {code::kNoSuchWatch, unknown, {}, {}, {}, 0, ""});
  if (needs_selector(request.verb) && !selects)
    return orders_.answer(step,
                          {code::kUsage, "name a watch, a group or --all", {}, {}, {}, 0, ""});
  if (closing_ && request.verb != Request::Verb::wait && request.verb != Request::Verb::terminate)
    return orders_.answer(step, {code::kFailed, "supvd is ending", {}, {}, {}, 0, ""});
  if (load) return ask_load(step, request);
  order(step, request, chosen);
}

void Supervisor::query(Step& step, const Request& request,
                       const std::vector<std::uint32_t>& chosen) {
  Report report;
  for (const std::uint32_t number : chosen) {
    WatchReport watch = roster_.at(number)->report(step.now);
    std::size_t change = 0;
    const WatchSpec& spec = roster_.at(number)->spec();
    for (std::uint32_t i = 0; i < spec.conditions.size(); ++i, ++change)
      if (spec.conditions[i].kv) watch.conditions[change].mode = feed_->mode({number, i});
    if (request.verb == Request::Verb::show) watch.definition = definition_of(spec);
    report.watches.push_back(std::move(watch));
  }
  report.consul = feed_ ? feed_->health() : "unused";
  step.emit(fx::Reply{request.client, request.tag, false, std::move(report)});
}

/// What the chosen conditions say is for the world to find out.
void Supervisor::probe(Step& step, const Request& request,
                       const std::vector<std::uint32_t>& chosen) {
  fx::TryOut asked;
  asked.reply = {request.client, request.tag, false, {}};
  Report& report = asked.reply.report;
  std::vector<std::string_view> known;
  bool any = request.condition.empty();
  for (const std::uint32_t number : chosen) {
    const Watch& watch = *roster_.at(number);
    WatchReport whole = watch.report(step.now);
    WatchReport part = whole;
    part.conditions.clear();
    fx::TryOut::Subject subject{watch.shared_spec(), watch.run(), {}};
    const std::vector<ConditionSpec>& conditions = watch.spec().conditions;
    for (std::uint32_t i = 0; i < conditions.size(); ++i) {
      known.emplace_back(conditions[i].id);
      const bool wanted = request.condition.empty() || request.condition == conditions[i].id ||
                          request.condition == conditions[i].name;
      if (!wanted) continue;
      any = true;
      subject.conditions.push_back(i);
      part.conditions.push_back(whole.conditions[i]);
    }
    report.watches.push_back(std::move(part));
    asked.subjects.push_back(std::move(subject));
  }
  if (any) return step.emit(std::move(asked));
  report = {};
  report.code = code::kNoSuchWatch;
  report.text = fmt::format("there is no condition '{}'; there {} {}", request.condition,
                            known.size() == 1 ? "is" : "are",
                            known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
  step.emit(std::move(asked.reply));
}

void Supervisor::order(Step& step, const Request& request,
                       const std::vector<std::uint32_t>& chosen) {
  if (request.verb == Request::Verb::quit) {
    orders_.answer(step, {code::kDone, "supvd ends; what it started goes on", {}, {}, {}, 0, ""});
    done_ = true;
    return step.emit(fx::Finish{0, true});
  }
  std::vector<Orders::Goal> goals;
  for (const std::uint32_t number :
       request.verb == Request::Verb::terminate ? roster_.all() : chosen) {
    goals.push_back(carry_out(step, request, *roster_.at(number)));
    orders_.add_goal(goals.back());
  }
  // Written down before the first deed, so that a brain that dies in the middle is continued.
  orders_.begin(step, roster_);
  orders_.overtake(step);
  for (Orders::Goal& goal : goals)
    if (Watch* watch = roster_.at(goal.watch); watch != nullptr && !goal.done)
      act(step, request, *watch, orders_.goal_of(goal.watch));
  if (request.verb == Request::Verb::terminate) shut_down(step, 0);
  if (goals.empty()) orders_.look(step, roster_);
}

/// The goal for one watch; settled already when the watch is held or there is nothing to do.
Orders::Goal Supervisor::carry_out(Step&, const Request& request, Watch& watch) {
  Orders::Goal goal;
  goal.watch = watch.number();
  goal.name = watch.spec().name;
  goal.verb = request.verb;
  goal.removes = request.verb == Request::Verb::remove;
  const bool live = watch.state() == State::up || watch.state() == State::starting;
  if (request.verb == Request::Verb::restart && live) goal.from = watch.run();
  goal.count = request.verb == Request::Verb::restart ? watch.restarts() : watch.reloads();
  touch(watch.number());
  const bool changes =
      request.verb == Request::Verb::start || request.verb == Request::Verb::stop ||
      request.verb == Request::Verb::restart || request.verb == Request::Verb::reload ||
      request.verb == Request::Verb::signal || request.verb == Request::Verb::monitor ||
      request.verb == Request::Verb::unmonitor || request.verb == Request::Verb::remove;
  if (changes && watch.held() && !request.force) {
    goal.done = goal.refused = true;
    goal.text = fmt::format(
        "held{}; release it, or use --force",
        watch.report({}).hold->reason.empty() ? "" : ": " + watch.report({}).hold->reason);
  }
  return goal;
}

void Supervisor::act(Step& step, const Request& request, Watch& watch, Orders::Goal& goal) {
  touch(watch.number());
  switch (request.verb) {
    case Request::Verb::start:
      return watch.start(step, cause_of(request, "start"));
    case Request::Verb::stop:
      return watch.stop(step, cause_of(request, "stop"));
    case Request::Verb::restart:
      return watch.restart(step, cause_of(request, "restart"));
    case Request::Verb::monitor:
      return watch.monitor(step, cause_of(request, "monitor"));
    case Request::Verb::unmonitor:
      return watch.unmonitor(step, cause_of(request, "unmonitor"));
    case Request::Verb::reload: {
      std::string why;
      if (watch.reload(step, cause_of(request, "reload"), why)) return;
      goal.done = true;
      goal.text = "not reloaded: " + why;
      return;
    }
    case Request::Verb::signal:
      goal.done = true;
      goal.ok = watch.run() != RunId::none;
      goal.text = goal.ok ? signal_name(request.signal) + " sent" : "nothing runs";
      if (goal.ok) step.emit(fx::Signal{watch.run(), request.signal});
      return;
    case Request::Verb::hold: {
      HoldReport hold{std::nullopt, request.reason, request.by};
      if (request.hold_for.count() > 0)
        hold.until_wall_ms = step.now.wall_ms + request.hold_for.count();
      return watch.hold(step, hold);
    }
    case Request::Verb::release:
      return watch.release(step);
    case Request::Verb::status:
    case Request::Verb::show:
    case Request::Verb::why:
    case Request::Verb::wait:
    case Request::Verb::plan:
    case Request::Verb::events:
    case Request::Verb::probe:
    case Request::Verb::load:
    case Request::Verb::quit:
    case Request::Verb::terminate:
      return;
    case Request::Verb::remove:
      retained_.erase(watch.spec().name);
      removing_.insert(watch.spec().name);
      return watch.remove(step, cause_of(request, "remove"));
  }
}

}  // namespace supv
