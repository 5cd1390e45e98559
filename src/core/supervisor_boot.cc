// How a new brain takes over: configuration, memory, and what runs.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "core/supervisor.h"

namespace supv {
namespace {

/// Generations start from the wall clock, so that a fresh supvd never reuses a number that some
/// leftover of an earlier one still carries.
std::uint64_t first_generation(Moment now) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(now.wall_ms, 0)) & 0xffffffffffffULL;
}

std::optional<Sample> sample_of(std::string_view text) {
  const auto word = [&] {
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view one = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    return one;
  };
  const auto number = [&] {
    std::uint64_t value = 0;
    const std::string_view digits = word();
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  Sample sample;
  const std::uint64_t kind = number();
  if (kind != static_cast<std::uint64_t>(Sample::Kind::absent) &&
      kind != static_cast<std::uint64_t>(Sample::Kind::present))
    return std::nullopt;
  sample.kind = static_cast<Sample::Kind>(kind);
  sample.index = number();
  sample.digest = digest_from_hex(word());
  sample.wall_ms = static_cast<std::int64_t>(number());
  if (sample.kind == Sample::Kind::present && sample.digest.empty()) return std::nullopt;
  return sample;
}

}  // namespace

void Supervisor::on(Step& step, ev::Boot& boot) {
  std::vector<WatchSpec> watches = std::exchange(boot.config.watches, {});
  config_ = std::move(boot.config);
  host_ = boot.host;
  key_ = boot.key;
  random_ = Random(boot.seed);
  ids_.at_least(first_generation(step.now));
  for (const Memory& memory : boot.memory) {
    if (!memory.key.starts_with("removed/")) continue;
    removed_.insert(memory.key.substr(8));
    if (boot.fresh) forget_removed(step, memory.key.substr(8));
  }
  for (WatchSpec& spec : watches) {
    if (removed_.contains(spec.name)) continue;
    const std::uint64_t salt = salt_of(spec.name);
    roster_.add(std::make_shared<const WatchSpec>(std::move(spec)), salt);
  }
  watches = {};
  contacts_.set(step.now, config_.contacts, step.effects);
  contacts_.restore(step.now, boot.memory, step.effects);
  restore(step, boot);
  if (boot.fresh)
    for (const std::uint32_t number : roster_.all()) roster_.at(number)->begin_anew();
  retained_ = {boot.retained.begin(), boot.retained.end()};
  step.emit(fx::Applied{config_, 0, std::move(boot.retained)});
  adopt(step, boot.runs);
  for (const std::uint32_t number : roster_.all()) {
    roster_.at(number)->boot(step, boot.fresh);
    touch(number);
  }
  subscribe(step);

  // Orders that an earlier brain accepted and did not finish: carried out where that is still due.
  for (const Memory& memory : boot.memory) {
    if (!memory.key.starts_with("action/")) continue;
    // supvd was started again: what ended the one before is over.
    if (boot.fresh && Orders::ends_supvd(memory)) {
      step.emit(fx::Remember{memory.key, "", false, false});
      continue;
    }
    for (auto& unfinished : orders_.restore(memory, step.now, roster_)) {
      if (unfinished.request.verb == Request::Verb::terminate) shut_down(step, 0);
      for (Orders::Goal& goal : unfinished.goals) {
        Watch* watch = roster_.at(goal.watch);
        if (watch == nullptr || goal.done) continue;
        const bool same_run = watch->run() == goal.from && watch->restarts() <= goal.count &&
                              (watch->state() == State::up || watch->state() == State::starting);
        const bool due = goal.verb == Request::Verb::restart ? same_run
                         : goal.verb == Request::Verb::stop  ? watch->wanted()
                         : goal.verb == Request::Verb::start
                             ? !watch->wanted() || watch->state() == State::stopped
                         : goal.verb == Request::Verb::remove    ? true
                         : goal.verb == Request::Verb::unmonitor ? watch->monitored()
                         : goal.verb == Request::Verb::monitor
                             ? !watch->monitored() || !watch->wanted()
                             : goal.verb == Request::Verb::release && watch->held();
        if (due) act(step, unfinished.request, *watch, goal);
      }
    }
  }
  orders_.look(step, roster_);  // also when there is no watch at all
}

void Supervisor::restore(Step& step, const ev::Boot& boot) {
  for (const Memory& memory : boot.memory) {
    if (memory.key.starts_with("watch/")) {
      const std::string name = memory.key.substr(6);
      if (Watch* watch = roster_.find(name)) {
        watch->restore(memory.text, step.now);
      } else {
        step.emit(fx::Remember{memory.key, "", true, false});
      }
    } else if (memory.key.starts_with("kv/")) {
      const std::size_t slash = memory.key.rfind('/');
      const std::string name = memory.key.substr(3, slash - 3);
      std::uint32_t key = 0;
      const std::string hex = memory.key.substr(slash + 1);
      std::from_chars(hex.data(), hex.data() + hex.size(), key, 16);
      const auto sample = sample_of(memory.text);
      Watch* watch = roster_.find(name);
      if (watch != nullptr && sample)
        watch->restore_sample(key, *sample);
      else if (watch == nullptr)
        step.emit(fx::Remember{memory.key, "", true, false});
    }
  }
}

void Supervisor::adopt(Step& step, std::vector<LiveRun>& runs) {
  // All numbers first: a run that ended meanwhile may be replaced at once, in a slot that is free.
  for (const LiveRun& live : runs) ids_.take(live.run, ~0U);
  // The oldest first. Beside the run of a watch may lie the one before it, over and not yet buried:
  // it must not outlast its successor, or a later brain would take its end for news.
  std::sort(runs.begin(), runs.end(),
            [](const LiveRun& a, const LiveRun& b) { return a.run < b.run; });
  std::map<std::string, RunId> newest;
  for (const LiveRun& live : runs)
    if (const auto memo = decode_memo(live.memo); memo && memo->purpose == Purpose::main)
      newest[memo->watch] = live.run;
  for (const LiveRun& live : runs) {
    const std::optional<Memo> memo = decode_memo(live.memo);
    Watch* watch = memo ? roster_.find(memo->watch) : nullptr;
    const bool main = watch != nullptr && memo->purpose == Purpose::main;
    // The brain before this one may have dealt with its end, and died before it was buried.
    const bool known = main && watch->ended() == live.run;
    if (main && !known && newest.at(memo->watch) == live.run) {
      watch->adopt(step, live, *memo);
      touch(watch->number());
      continue;
    }
    if (live.phase == LiveRun::Phase::gone || live.phase == LiveRun::Phase::failed) {
      if (main && !known && live.phase == LiveRun::Phase::gone) watch->on_replaced(step, live);
      step.emit(fx::Forget{live.run});
      continue;
    }
    if (memo && memo->purpose == Purpose::main)
      step.emit(fx::Note{memo->watch, NoteKind::change, "up", "", "stop", "load",
                         "no configuration names it any more", live.pid});
    const bool unnamed = watch == nullptr && memo && memo->purpose == Purpose::main;
    strays_[live.run] = {unnamed ? memo->watch : "", live.phase == LiveRun::Phase::stuck};
    step.emit(fx::Stop{live.run, static_cast<std::uint32_t>(After::remove), false});
  }
}

}  // namespace supv
