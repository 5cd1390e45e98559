#include "core/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

namespace supv {

void run(Supervisor& supervisor, World& world) {
  while (!supervisor.done())
    for (Event& event : world.wait(supervisor.wake()))
      for (const Effect& effect : supervisor.step(world.now(), std::move(event)))
        world.perform(effect);
}

std::optional<Time> Supervisor::wake() const {
  std::optional<Time> first = roster_.first_deadline();
  const auto take = [&](std::optional<Time> time) {
    if (time && (!first || *time < *first)) first = time;
  };
  if (feed_) take(feed_->due());
  take(orders_.deadline());
  take(contacts_.due());
  take(hurry_);
  return first;
}

namespace {

/// So many watches have their beat in one turn; the next turn comes at once. A thousand at once
/// would each be met three times (asked, answered, judged) after all the others: by then nothing of
/// it is in the processor's caches any more, which costs more than the work.
constexpr std::size_t kAtOnce = 32;

/// Deeds, then what is kept and said about them, then the burials.
int rank(const Effect& effect) {
  if (std::holds_alternative<fx::Forget>(effect)) return 2;
  return std::holds_alternative<fx::Note>(effect) || std::holds_alternative<fx::Remember>(effect) ||
         std::holds_alternative<fx::Reply>(effect);
}

/// A start does not wait until the history knows of it: a brain that dies between the two finds the
/// deed at the keeper. What was ordered is on the disk before the order is answered. And what the
/// keeper knows of a run is given up only when everything that follows from it is kept.
void put_in_order(std::vector<Effect>& effects) {
  const auto before = [](const Effect& a, const Effect& b) { return rank(a) < rank(b); };
  if (std::is_sorted(effects.begin(), effects.end(), before)) return;  // Nearly always.
  std::stable_sort(effects.begin(), effects.end(), before);
}

}  // namespace

std::vector<Effect> Supervisor::step(Moment now, Event event) {
  std::vector<Effect> effects;
  Step step{now, effects, ids_, random_};
  std::visit([&](auto& news) { on(step, news); }, event);
  // Answers come by the hundred, at an instant whose deadlines are being seen to.
  if (!std::holds_alternative<ev::Judged>(event)) meet_deadlines(step);
  if (feed_)
    for (fx::Http& request : feed_->on_deadline(now.time, next_tag_)) step.emit(std::move(request));
  if (hurry_ && *hurry_ <= now.time) {
    hurry_.reset();
    for (const std::uint32_t number : roster_.all()) {
      roster_.at(number)->shut_down(step, true);
      touch(number);
    }
  }
  if (const auto due = orders_.deadline(); due && *due <= now.time) orders_.on_deadline(step);
  settle(step);
  if (const auto due = contacts_.due(); due && *due <= now.time)
    contacts_.on_deadline(now, effects);
  if (!step.notices.empty()) contacts_.take(now, std::move(step.notices), effects);
  put_in_order(effects);
  // Not earlier: the keeper learns that a slot is free after it was asked for another run.
  for (const Effect& effect : effects)
    if (const auto* forget = std::get_if<fx::Forget>(&effect)) ids_.release(forget->run);
  return effects;
}

void Supervisor::meet_deadlines(Step& step) {
  for (const std::uint32_t number : roster_.due(step.now.time, kAtOnce)) {
    roster_.at(number)->on_deadline(step);
    touch(number);
  }
}

void Supervisor::note_down(Step& step, Watch& watch) {
  if (watch.take_dirty() && !watch.removed())
    step.emit(
        fx::Remember{"watch/" + watch.spec().name, watch.remember(), true, watch.take_intent()});
}

/// What every turn ends with: deadlines, memory, answers and the end of supvd itself.
void Supervisor::settle(Step& step) {
  if (touched_.empty()) return;
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  std::vector<std::uint32_t> removed;
  std::optional<int> essential;
  for (const std::uint32_t number : touched_) {
    Watch* watch = roster_.at(number);
    if (watch == nullptr) continue;
    roster_.schedule(number);
    note_down(step, *watch);
    for (Memory& sample : watch->take_samples())
      step.emit(fx::Remember{std::move(sample.key), std::move(sample.text), true, false});
    if (const auto verdict = watch->verdict_of_essential(); verdict && !closing_)
      essential = verdict;
    if (watch->removed()) removed.push_back(number);
  }
  touched_.clear();
  orders_.look(step, roster_);
  for (const std::uint32_t number : removed) {
    const std::string& name = roster_.at(number)->spec().name;
    step.emit(fx::Remember{"watch/" + name, "", true, false});
    // The next brain reads the same files.
    if (removing_.erase(name) > 0 && removed_.insert(name).second)
      step.emit(fx::Remember{"removed/" + name, "1", false, false});
    for (const Memory& sample : roster_.at(number)->all_samples())
      step.emit(fx::Remember{sample.key, "", true, false});
    roster_.erase(number);
  }
  if (!removed.empty()) subscribe(step);
  if (essential) {
    step.emit(fx::Note{"", NoteKind::change, "", "", "terminate", "exit",
                       "an essential watch has ended", 0});
    shut_down(step, *essential);
  }
  if (!closing_ || done_) return;
  const auto numbers = roster_.all();
  const bool all = std::all_of(numbers.begin(), numbers.end(),
                               [&](std::uint32_t n) { return roster_.at(n)->at_rest(); });
  if (!all || !strays_.empty()) return;
  done_ = true;
  step.emit(fx::Finish{*closing_, false});
}

/// It is named by a load again.
void Supervisor::forget_removed(Step& step, const std::string& watch) {
  removing_.erase(watch);
  if (removed_.erase(watch) > 0) step.emit(fx::Remember{"removed/" + watch, "", false, false});
}

Watch* Supervisor::owner(RunId run) {
  const auto number = ids_.owner(run);
  if (!number) return nullptr;
  Watch* watch = roster_.at(*number);
  if (watch != nullptr) touch(*number);
  return watch;
}

void Supervisor::on(Step& step, const ev::Launched& event) {
  if (Watch* watch = owner(event.run)) watch->on_launched(step, event);
}

void Supervisor::on(Step& step, const ev::StartFailed& event) {
  if (bury_stray(step, event.run)) return;
  if (Watch* watch = owner(event.run)) watch->on_start_failed(step, event);
}

void Supervisor::on(Step& step, const ev::Exited& event) {
  if (Watch* watch = owner(event.run)) watch->on_exited(step, event);
}

void Supervisor::on(Step& step, const ev::Gone& event) {
  if (bury_stray(step, event.run)) return;
  if (Watch* watch = owner(event.run)) watch->on_gone(step, event);
}

/// False: it is none.
bool Supervisor::bury_stray(Step& step, RunId run) {
  if (strays_.erase(run) == 0) return false;
  step.emit(fx::Forget{run});
  const auto numbers = roster_.all();
  // supvd may be waiting for the last one.
  touched_.insert(touched_.end(), numbers.begin(), numbers.end());
  return true;
}

void Supervisor::on(Step& step, const ev::Stuck& event) {
  if (const auto stray = strays_.find(event.run); stray != strays_.end())
    stray->second.stuck = true;
  if (Watch* watch = owner(event.run)) watch->on_stuck(step, event);
}

void Supervisor::on(Step& step, const ev::Followed& event) {
  if (Watch* watch = owner(event.run)) watch->on_followed(step, event);
}

void Supervisor::on(Step& step, const ev::NotFollowed& event) {
  if (Watch* watch = owner(event.run)) watch->on_not_followed(step, event);
}

void Supervisor::on(Step& step, const ev::Ready& event) {
  if (Watch* watch = owner(event.run)) watch->on_ready(step, event.run);
}

void Supervisor::on(Step& step, const ev::Alive& event) {
  if (Watch* watch = owner(event.run)) watch->on_alive(step, event);
}

void Supervisor::on(Step& step, const ev::Judged& event) {
  // Exit conditions answer about a run that has just been buried: their number says whose it was.
  if (Watch* watch = owner(event.run)) return watch->on_judged(step, event);
  for (const std::uint32_t number : roster_.all()) {
    if (roster_.at(number)->ended() != event.run) continue;
    touch(number);
    return roster_.at(number)->on_judged(step, event);
  }
}

void Supervisor::on(Step& step, const ev::Delivered& event) {
  contacts_.delivered(step.now, event, step.effects);
}

void Supervisor::on(Step& step, const ev::HttpDone& event) {
  if (feed_) deliver(step, feed_->on_reply(step.now, event));
}

void Supervisor::deliver(Step& step, const std::vector<KvNews>& news) {
  for (const KvNews& item : news) {
    Watch* watch = roster_.at(item.who.watch);
    if (watch == nullptr) continue;
    touch(item.who.watch);
    if (item.sample)
      watch->on_sample(step, item.who.condition, *item.sample);
    else
      watch->on_trouble(item.who.condition, item.trouble);
  }
}

void Supervisor::subscribe(Step& step) {
  std::vector<KvSubscription> all;
  for (const std::uint32_t number : roster_.all()) {
    const WatchSpec& spec = roster_.at(number)->spec();
    for (std::uint32_t i = 0; i < spec.conditions.size(); ++i)
      if (spec.conditions[i].kv) all.push_back({{number, i}, &*spec.conditions[i].kv});
  }
  if (!feed_) feed_ = std::make_unique<KvFeed>(key_, random_.next());
  deliver(step, feed_->assign(std::move(all), config_.clusters, step.now));
}

std::uint64_t Supervisor::salt_of(const std::string& watch) const {
  return keyed_hash(key_, host_ + "/" + watch).low;
}

void Supervisor::on(Step& step, const ev::ClientGone& event) {
  static_cast<void>(step);
  orders_.forget_client(event.client);
}

void Supervisor::on(Step& step, const ev::Signalled& event) {
  constexpr int kHangUp = 1;
  constexpr int kInterrupt = 2;
  constexpr int kTerminate = 15;
  if (event.signal == kHangUp) {
    Request request;
    request.verb = Request::Verb::load;
    request.missing = "keep";
    request.by = "HUP";
    return ask_load(step, request);
  }
  if (event.signal != kInterrupt && event.signal != kTerminate) return;
  if (!closing_) return shut_down(step, 0);
  // Asked twice: no more patience.
  for (const std::uint32_t number : roster_.all()) {
    roster_.at(number)->shut_down(step, true);
    touch(number);
  }
}

void Supervisor::shut_down(Step& step, int code) {
  if (closing_) return;
  closing_ = code;
  if (config_.daemon.shutdown_timeout.count() > 0)
    hurry_ = step.now.time + config_.daemon.shutdown_timeout;
  for (const std::uint32_t number : roster_.all()) {
    roster_.at(number)->shut_down(step, false);
    touch(number);
  }
  if (!roster_.all().empty() || !strays_.empty()) return;
  done_ = true;
  step.emit(fx::Finish{code, false});
}

}  // namespace supv
