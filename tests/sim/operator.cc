#include "tests/sim/operator.h"

#include <fmt/format.h>
#include <signal.h>

namespace supv::sim {
namespace {

using Verb = Request::Verb;

bool in_flight(const Watch& watch) {
  return watch.state() == State::starting || watch.state() == State::stopping ||
         watch.state() == State::stuck;
}

const char* verb_name(Verb verb) {
  static constexpr const char* kNames[] = {
      "status", "show",   "why",     "wait",      "plan", "events",  "start", "stop", "restart",
      "reload", "signal", "monitor", "unmonitor", "hold", "release", "load",  "quit", "terminate"};
  return kNames[static_cast<int>(verb)];
}

}  // namespace

void Operator::violated(const std::string& what) {
  throw Violated("6: every answer is true: " + what);
}

void Operator::act() {
  const auto names = ears_.watches();
  if (names.empty()) return;
  Action action;
  Request& request = action.request;
  action.watch = names[static_cast<std::size_t>(
      sim_.dice.between(0, static_cast<std::int64_t>(names.size()) - 1))];
  request.verb = sim_.dice.pick({Verb::start, Verb::start, Verb::stop, Verb::stop, Verb::restart,
                                 Verb::restart, Verb::restart, Verb::reload, Verb::monitor,
                                 Verb::unmonitor, Verb::hold, Verb::release, Verb::release,
                                 Verb::signal, Verb::load, Verb::load, Verb::status, Verb::wait});
  request.select = {action.watch};
  request.force = sim_.dice.chance(0.3);
  request.by = "root";
  if (request.verb == Verb::signal) request.signal = sim_.dice.pick({SIGHUP, SIGUSR1});
  if (request.verb == Verb::hold && sim_.dice.chance(0.7))
    request.hold_for = sim_.dice.time(seconds(1), minutes(2));
  if (request.verb == Verb::wait) request.until = sim_.dice.chance(0.5) ? "up" : "stopped";
  if (request.verb == Verb::load) {
    request.select.clear();
    request.no_restart = sim_.dice.chance(0.2);
    // Not by the dice: the histories that are always told stay what they were.
    static constexpr const char* kMissing[] = {"stop", "keep", "stop", "unmonitor"};
    request.missing = kMissing[last_tag_ % 4];
    ears_.edit_files();
  }
  const std::uint64_t tag = ++last_tag_;
  const bool journaled = request.verb != Verb::status && request.verb != Verb::wait;
  if (journaled) request.action_id = fmt::format("a{}", tag);
  if (request.verb != Verb::load && journaled)
    oracles_.action_started(action.watch, verb_name(request.verb));
  actions_[tag] = action;
  action_of_[tag] = tag;
  actions_[tag].request.tag = tag;
  actions_[tag].first_asked = sim_.agenda.now();
  send(actions_[tag]);
}

void Operator::send(Action& action) {
  action.request.client = static_cast<ClientId>(action.request.tag);
  sim_.trace(fmt::format("operator: {} {} #{} {}", verb_name(action.request.verb), action.watch,
                         action.request.tag, action.request.action_id));
  ears_.ask(action.request);
}

void Operator::handed_over(const Request& request) {
  const auto action = action_of_.find(request.tag);
  if (action == action_of_.end()) return;
  const Watch* watch = ears_.look(actions_[action->second].watch);
  Action& known = actions_[action->second];
  const bool first = known.tries++ == 0;
  if (watch == nullptr) return;
  if (first) known.before = watch->run();
  const bool remembered = !oracles_.unsaved("action/" + request.action_id);
  if (known.code && remembered) return;  // it will be told what was decided long ago
  const bool speaks = request.verb == Verb::start || request.verb == Verb::stop ||
                      request.verb == Verb::restart || request.verb == Verb::monitor ||
                      request.verb == Verb::unmonitor;
  if (!speaks || (watch->held() && !request.force)) return;
  was_unsure_ = oracles_.word_unsure(known.watch);
  // Asked again: nobody knows when it was, or will be, carried out.
  if (known.tries > 1) return;
  deciding_.push_back(request);
  flying_ = in_flight(*watch) ? std::optional(watch->run()) : std::nullopt;
}

/// Everything the brain wanted to do about it has been done: from now on it counts.
void Operator::turned() {
  for (const Request& request : std::exchange(deciding_, {})) {
    Action& action = actions_[action_of_[request.tag]];
    using Word = Oracles::Word;
    const Word word = request.verb == Verb::stop        ? Word::down
                      : request.verb == Verb::unmonitor ? Word::alone
                                                        : Word::up;
    if (action.refused && !was_unsure_) oracles_.word_stands(action.watch);
    if (!action.refused)
      oracles_.word(action.watch, word, word == Word::alone ? flying_ : std::nullopt);
  }
}

void Operator::replied(const fx::Reply& reply) {
  const auto found = action_of_.find(reply.tag);
  if (found == action_of_.end()) violated(fmt::format("an answer to nobody, tag {}", reply.tag));
  if (reply.progress) return;
  Action& action = actions_[found->second];
  sim_.trace(fmt::format(
      "answer: {} {} #{}: {} {}", verb_name(action.request.verb), action.watch, reply.tag,
      reply.report.code,
      reply.report.outcomes.empty() ? reply.report.text : reply.report.outcomes.front().text));
  if (action.request.tag != reply.tag) violated(fmt::format("tag {} answered late", reply.tag));
  if (action.answered) violated(fmt::format("tag {} answered twice", reply.tag));
  action.answered = true;
  if (action.request.verb == Verb::status) return;
  const bool journaled = !oracles_.unsaved("action/" + action.request.action_id);
  if (action.code && *action.code != reply.report.code && journaled)
    violated(
        fmt::format("tag {}: {} at first, then {}", reply.tag, *action.code, reply.report.code));
  // What was answered to nobody may have ceased to be true before it was asked for again.
  if (!action.code && action.tries == 1) check(action, reply.report);
  action.code = reply.report.code;
  action.refused = reply.report.code != code::kDone && reply.report.outcomes.empty();
}

void Operator::check(const Action& action, const Report& report) const {
  if (report.code != code::kDone) return;
  const Watch* watch = ears_.look(action.watch);
  const std::string what =
      fmt::format("{} {} said done", verb_name(action.request.verb), action.watch);
  switch (action.request.verb) {
    case Verb::stop:
      if (!oracles_.gone(action.watch)) violated(what + ", and something is left");
      return;
    case Verb::start:
    case Verb::restart:
    case Verb::monitor: {
      if (watch == nullptr) violated(what + " of nothing");
      const bool ended_well = watch->state() == State::exited && watch->failure() == "exit 0";
      if (watch->state() != State::up && !ended_well) violated(what + " but is not up");
      const bool renews = watch->spec().rare && watch->spec().rare->restart;
      if (action.request.verb == Verb::restart && watch->run() == action.before && !renews &&
          action.before != RunId::none)
        violated(what + " but it is the same run");
      return;
    }
    case Verb::hold:
      if (watch != nullptr && !watch->held()) violated(what + " but is not held");
      return;
    case Verb::release:
      if (watch != nullptr && watch->held()) violated(what + " but is held");
      return;
    case Verb::unmonitor:
      if (watch != nullptr && watch->monitored()) violated(what + " but is monitored");
      return;
    case Verb::status:
    case Verb::show:
    case Verb::why:
    case Verb::wait:
    case Verb::plan:
    case Verb::events:
    case Verb::probe:
    case Verb::reload:
    case Verb::signal:
    case Verb::load:
    case Verb::quit:
    case Verb::terminate:
      return;
    case Verb::remove:
      if (watch != nullptr) violated(what + " but is still there");
      return;
  }
}

void Operator::brain_lost() {
  deciding_.clear();
  for (auto& [tag, action] : actions_) {
    if (action.gave_up || (action.answered && !sim_.dice.chance(0.1))) continue;
    if (!action.answered && sim_.dice.chance(0.25)) action.gave_up = true;
  }
}

void Operator::rebooted() {
  for (auto& [tag, action] : actions_) action.gave_up = true;
}

void Operator::brain_back() {
  for (auto& [first, action] : actions_) {
    const bool again = action.answered && action.code && !action.request.action_id.empty() &&
                       !action.gave_up && sim_.agenda.now() - action.first_asked < minutes(5) &&
                       sim_.dice.chance(0.05);
    if (action.gave_up || (action.answered && !again)) continue;
    action.answered = false;
    action.request.tag = ++last_tag_;
    action_of_[action.request.tag] = first;
    send(action);
  }
}

void Operator::end() const {
  for (const auto& [tag, action] : actions_)
    if (!action.answered && !action.gave_up && action.request.verb != Verb::wait)
      violated(fmt::format("{} {} #{} was never answered", verb_name(action.request.verb),
                           action.watch, action.request.tag));
}

}  // namespace supv::sim
