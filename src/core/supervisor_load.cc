// A new configuration: what would change, and changing it.
#include <fmt/format.h>

#include <algorithm>

#include "core/supervisor.h"

namespace supv {
namespace {

/// The lines of the diagnostics that name a place; their excerpts do not fit into one line.
std::string errors_of(const std::string& diagnostics) {
  std::string errors;
  std::size_t at = 0;
  while (at < diagnostics.size() && errors.size() < 400) {
    const std::size_t end = std::min(diagnostics.find('\n', at), diagnostics.size());
    const std::string line = diagnostics.substr(at, end - at);
    if (line.find(": error: ") != std::string::npos) errors += (errors.empty() ? "" : "; ") + line;
    at = end + 1;
  }
  return errors;
}

}  // namespace

void Supervisor::ask_load(Step& step, const Request& request) {
  const std::uint64_t ticket = next_ticket_++;
  loads_[ticket] = request;
  if (request.client != ClientId::none) orders_.set_ticket(ticket);
  step.emit(fx::Load{ticket, request.files});
}

std::vector<PlanLine> Supervisor::plan(const Config& config, const Request& request) const {
  std::vector<PlanLine> lines;
  std::set<std::string> named;
  for (const WatchSpec& spec : config.watches) {
    named.insert(spec.name);
    const Watch* old = nullptr;
    for (const std::uint32_t number : roster_.all())
      if (roster_.at(number)->spec().name == spec.name) old = roster_.at(number);
    if (old == nullptr) {
      lines.push_back({spec.name, "add", {}, spec.autostart ? "new; is started" : "new"});
      continue;
    }
    if (same_spec(old->spec(), spec)) continue;
    const bool shape = !(old->spec().process == spec.process) && old->run() != RunId::none;
    PlanLine line{spec.name, "live", changed_keys(old->spec(), spec), "applies at once"};
    if (shape) {
      line.change = "restart";
      line.text = request.no_restart ? "waits for the next restart"
                  : old->held()      ? "restarts when it is released"
                                     : "restarts";
    } else if (!(old->spec().process == spec.process)) {
      line.text = "applies at the next start";
    }
    lines.push_back(std::move(line));
  }
  const bool alone = request.missing == "unmonitor";
  for (const std::uint32_t number : missing(named, request))
    lines.push_back({roster_.at(number)->spec().name,
                     alone ? "unmonitor" : "remove",
                     {},
                     alone ? "not in the files any more; left alone"
                           : "not in the files any more; is stopped"});
  return lines;
}

void Supervisor::on(Step& step, const ev::Rejected& event) {
  const auto load = loads_.find(event.ticket);
  if (load == loads_.end()) return;
  loads_.erase(load);
  step.emit(fx::Note{
      "", NoteKind::warning, "", "", "load", "load",
      "the new configuration was refused; nothing changed: " + errors_of(event.diagnostics), 0});
  if (!orders_.resume(event.ticket)) return;
  orders_.answer(step, {code::kInvalid, event.diagnostics, {}, {}, {}, 0, ""});
}

void Supervisor::on(Step& step, ev::Loaded& event) {
  const auto load = loads_.find(event.ticket);
  if (load == loads_.end()) return;
  const Request request = load->second;
  loads_.erase(load);
  const bool answered_for = orders_.resume(event.ticket);
  Report report;
  report.plan = plan(event.config, request);
  if (request.verb == Request::Verb::plan) {
    if (answered_for) orders_.answer(step, std::move(report));
    return;
  }
  if (ids_.full(static_cast<std::uint32_t>(event.config.watches.size()))) {
    report.code = code::kInvalid;
    report.text =
        fmt::format("{} watches are more than this supvd can hold", event.config.watches.size());
    if (answered_for) orders_.answer(step, std::move(report));
    return;
  }
  if (answered_for) orders_.set_plan(report.plan);
  apply(step, event, request);
  if (!answered_for) return;
  for (const PlanLine& line : report.plan) {
    Watch* watch = roster_.find(line.watch);
    if (watch == nullptr) continue;
    Orders::Goal goal;
    goal.watch = watch->number();
    goal.name = line.watch;
    if (line.change == "add" || line.change == "restart") {
      goal.verb = Request::Verb::start;
      const bool waits = watch->wanted() && watch->monitored() && watch->state() != State::up;
      goal.done = goal.ok = !waits;
      if (goal.done) goal.text = line.text;
    } else if (line.change == "remove") {
      goal.verb = Request::Verb::stop;
      goal.removes = true;
    } else if (line.change == "unmonitor") {
      goal.verb = Request::Verb::unmonitor;
    } else {
      goal.done = goal.ok = true;
      goal.text = line.text;
    }
    orders_.add_goal(std::move(goal));
  }
  orders_.overtake(step);
  orders_.begin(step, roster_, report.plan.empty() ? "nothing changed" : "");
  if (report.plan.empty()) orders_.look(step, roster_);
}

/// Those that a load no longer finds. Only a re-read file can lack what it defined: a load of some
/// files finds others retained, and does not miss them.
std::vector<std::uint32_t> Supervisor::missing(const std::set<std::string>& named,
                                               const Request& request) const {
  std::vector<std::uint32_t> numbers;
  if (request.missing == "keep") return numbers;
  for (const std::uint32_t number : roster_.all()) {
    const Watch& watch = *roster_.at(number);
    const WatchSpec& spec = watch.spec();
    const bool read =
        request.files.empty() || !retained_.contains(spec.name) ||
        std::find(request.files.begin(), request.files.end(), spec.file) != request.files.end();
    const bool going = request.missing == "unmonitor" && watch.leaving();
    if (read && !going && !named.contains(spec.name)) numbers.push_back(number);
  }
  return numbers;
}

/// Notes what is in force from now on although the new configuration does not name it.
void Supervisor::retain(const std::set<std::string>& named,
                        const std::vector<std::uint32_t>& removed) {
  retained_.clear();
  for (const std::uint32_t number : roster_.all()) {
    const Watch& watch = *roster_.at(number);
    if (named.contains(watch.spec().name) || watch.leaving()) continue;
    if (std::find(removed.begin(), removed.end(), number) == removed.end())
      retained_.insert(watch.spec().name);
  }
}

void Supervisor::apply(Step& step, ev::Loaded& loaded, const Request& request) {
  std::vector<WatchSpec> watches = std::exchange(loaded.config.watches, {});
  config_ = std::move(loaded.config);
  contacts_.set(step.now, config_.contacts, step.effects);
  std::set<std::string> named;
  for (const WatchSpec& spec : watches) named.insert(spec.name);
  const std::vector<std::uint32_t> lost = missing(named, request);
  const bool alone = request.missing == "unmonitor";
  retain(named, alone ? std::vector<std::uint32_t>() : lost);
  step.emit(fx::Applied{config_, loaded.ticket, {retained_.begin(), retained_.end()}});
  std::vector<std::uint32_t> added;
  for (WatchSpec& spec : watches) {
    forget_removed(step, spec.name);
    if (Watch* watch = roster_.find(spec.name)) {
      touch(watch->number());
      if (watch->leaving()) watch->come_back(step);
      if (same_spec(watch->spec(), spec)) continue;
      watch->redefine(step, std::make_shared<const WatchSpec>(std::move(spec)),
                      !request.no_restart);
      touch(watch->number());
      continue;
    }
    const std::uint64_t salt = salt_of(spec.name);
    added.push_back(roster_.add(std::make_shared<const WatchSpec>(std::move(spec)), salt).number());
  }
  for (const std::uint32_t number : lost) {
    Watch& watch = *roster_.at(number);
    touch(number);
    const Cause cause{"stop", "load", "not in the configuration any more"};
    if (alone) {
      watch.unmonitor(step, cause);
      note_down(step, watch);  // before the load is noted as done
    } else {
      watch.remove(step, cause);
    }
  }
  subscribe(step);
  // Now they know the values that others follow already: their runs begin under those.
  for (const std::uint32_t number : added) {
    Watch& watch = *roster_.at(number);
    const auto stray = std::find_if(strays_.begin(), strays_.end(), [&](const auto& item) {
      return item.second.watch == watch.spec().name;
    });
    if (stray != strays_.end()) {
      watch.inherit(step, stray->first, stray->second.stuck);
      strays_.erase(stray);
    }
    watch.boot(step, true);
    touch(number);
  }
}

}  // namespace supv
