#include "tests/sim/sim_world.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/stories.h"

namespace supv::sim {
namespace {

constexpr int kIdleTurns = 500;  ///< Turns at one instant that are still no busy loop.

}  // namespace

SimWorld::SimWorld(std::uint64_t seed, bool shown)
    : sim_(seed, shown),
      computer_(sim_, computer_ears()),
      consul_(sim_),
      courier_(sim_, consul_,
               [this](ev::HttpDone done) {
                 if (brain_ != 0) say(std::move(done));
               }),
      oracles_(sim_, computer_, consul_),
      operator_(sim_, oracles_, computer_, operator_ears()),
      files_(draw_config(sim_)) {
  calm_at_ = sim_.agenda.now() + sim_.dice.time(minutes(2), minutes(15));
  end_at_ = calm_at_ + minutes(12);
}

void SimWorld::plan_mishaps() {
  draw_consul_life(sim_, consul_);
  sim_.now_and_then(&Menu::strangers, [this] { computer_.stranger(); });
  sim_.now_and_then(&Menu::operation, [this] { operator_.act(); });
  sim_.now_and_then(&Menu::courier_crash, [this] { courier_.crash(); });
  sim_.now_and_then(&Menu::brain_freeze, [this] {
    sim_.trace("brain: frozen");
    frozen_until_ = sim_.agenda.now() + sim_.dice.time(milliseconds(10), seconds(30));
  });
  sim_.now_and_then(&Menu::reboot, [this] { reboot(); });
  sim_.now_and_then(&Menu::terminate, [this] {
    if (!keeper_) return;
    sim_.trace("supvd: TERM");
    oracles_.supvd_is_to_end();
    in_keeper([](Keeper& keeper) { keeper.on_signal(15); });
  });
  sim_.agenda.at(calm_at_, [this] { calm_down(); });
  flush_disk();
  start_supvd();
}

/// What was written without fsync gets there too, in time.
void SimWorld::flush_disk() {
  synced_ = durable_;
  sim_.agenda.in(seconds(30), [this] { flush_disk(); });
}

/// For who reads the trace.
void SimWorld::describe_files() {
  for (const WatchSpec& watch : files_.watches) {
    std::string text =
        fmt::format("watch {}: ready {}, pid file '{}', tree {}, autostart {}, keep {}", watch.name,
                    static_cast<int>(watch.ready.kind), watch.process.pid_file.text(),
                    watch.process.whole_tree, watch.autostart, watch.keepalive);
    for (const ConditionSpec& condition : watch.conditions)
      text += fmt::format(", {} action {} {}", condition.id, static_cast<int>(condition.action),
                          condition.kv ? condition.kv->path : "");
    sim_.trace(text);
  }
}

void SimWorld::calm_down() {
  sim_.trace("calm");
  sim_.calm = true;
  sim_.menu = Menu{};
  consul_.set_mood(FakeConsul::Mood::well);
  frozen_until_ = sim_.agenda.now();
}

void SimWorld::live() {
  describe_files();
  plan_mishaps();
  try {
    for (;;) {
      while (brain_ == 0) advance(std::nullopt);
      Supervisor supervisor;
      core_ = &supervisor;
      try {
        run(supervisor, *this);
        // What the core had to say is said; the rest is the keeper's.
        while (brain_ != 0) advance(std::nullopt);
      } catch (const BrainKilled&) {
      } catch (const Over&) {
        if (!booted_) throw Violated("2: supvd answers: no brain in the end");
        for (const auto& [key, text] : volatile_) sim_.trace(key + ": " + text);
        oracles_.end(supervisor);
        operator_.end();
        return;
      }
      brain_gone();
    }
  } catch (const Over&) {
    throw Violated("2: supvd is there: it is not in the end");
  }
}

/// The next thing that happens, or `wake`, whichever is first.
void SimWorld::advance(std::optional<Time> wake) {
  const Time now = sim_.agenda.now();
  if (now >= end_at_) throw Over{};
  std::optional<Time> first = sim_.agenda.first();
  std::optional<Time> keeper;
  if (keeper_ && keeper_->next_deadline() != Keeper::kNever)
    keeper = std::max(now, Time(std::chrono::nanoseconds(keeper_->next_deadline())));
  if (wake) *wake = std::max(*wake, now);
  if (keeper && (!first || *keeper <= *first) && (!wake || *keeper <= *wake)) {
    sim_.agenda.advance(*keeper);
    return in_keeper([](Keeper& one) { one.on_deadline(); });
  }
  if (wake && (!first || *wake <= *first)) {
    sim_.agenda.advance(std::min(*wake, end_at_));
    return say(ev::Tick{});
  }
  if (!first) {
    sim_.agenda.advance(end_at_);
    return;
  }
  sim_.agenda.run_first();
}

std::vector<Event> SimWorld::wait(std::optional<Time> wake) {
  if (!booted_) return boot();
  if (core_ != nullptr) {
    oracles_.turned(*core_);
    operator_.turned();
  }
  if (!begun_) {
    begun_ = true;
    kept_ = loaded_[0];
    oracles_.configured(*kept_);
    operator_.brain_back();
  }
  if (wake && sim_.dice.chance(sim_.menu.late_wake))
    wake = std::max(*wake, sim_.agenda.now()) + sim_.dice.time(Duration(0), seconds(2));
  while (inbox_.empty() || sim_.agenda.now() < frozen_until_) {
    if (brain_ == 0) throw BrainKilled{};
    if (!line_.open || line_.number != brain_line_) {
      sim_.trace("brain: the keeper is gone");
      if (Process* process = computer_.find(brain_)) computer_.crash(*process);
      throw BrainKilled{};
    }
    const bool frozen = sim_.agenda.now() < frozen_until_;
    advance(frozen ? std::optional(frozen_until_) : wake);
  }
  if (brain_ == 0) throw BrainKilled{};
  tell_old_news();
  idle_turns_ = sim_.agenda.now() == idle_at_ ? idle_turns_ + 1 : 0;
  idle_at_ = sim_.agenda.now();
  if (idle_turns_ > kIdleTurns) throw Violated("an idle supvd sleeps: it turns without end");
  const Event event = std::move(inbox_.front());
  inbox_.pop_front();
  if (!std::holds_alternative<ev::Tick>(event)) sim_.trace(describe_event(event));
  oracles_.told(event);
  remember_stale(event);
  if (const auto* asked = std::get_if<ev::Asked>(&event)) {
    missing_asked_ = asked->request.missing;
    operator_.handed_over(asked->request);
  }
  return {event};
}

/// What a new brain does before its core exists: asks the keeper, reads files.
std::vector<Event> SimWorld::boot() {
  wire::Plain hello{};
  hello.kind = wire::Kind::hello;
  send(packet_of(hello));
  while (!dumped_) {
    if (brain_ == 0) throw BrainKilled{};
    if (!line_.open || line_.number != brain_line_) {
      if (Process* process = computer_.find(brain_)) computer_.crash(*process);
      throw BrainKilled{};
    }
    advance(std::nullopt);
  }
  booted_ = true;
  ev::Boot boot;
  boot.fresh = !kept_;
  boot.config = kept_ ? *kept_ : files_;
  boot.retained = retained_;
  loaded_[0] = boot.config;
  oracles_.configured(boot.config);
  boot.runs = std::exchange(dump_, {});
  for (const auto* store : {&durable_, &volatile_})
    for (const auto& [key, text] : *store) boot.memory.push_back({key, text});
  boot.key = kHashKey;
  boot.host = "host";
  boot.seed = sim_.dice.bits();
  sim_.trace(fmt::format("brain: boots{}, {} runs", boot.fresh ? " fresh" : "", boot.runs.size()));
  read_mail();
  const Event event = std::move(boot);
  oracles_.told(event);
  return {event};
}

void SimWorld::die_perhaps() {
  if (!sim_.dice.chance(sim_.menu.brain_crash)) return;
  sim_.trace("brain: killed");
  if (Process* process = computer_.find(brain_)) computer_.crash(*process);
  throw BrainKilled{};
}

void SimWorld::brain_gone() {
  core_ = nullptr;
  inbox_.clear();
  dump_.clear();
  old_news_.clear();
  armed_.clear();
  loaded_.clear();
  missing_.clear();
  dumped_ = booted_ = begun_ = false;
  frozen_until_ = Time{};
  courier_.orphan();
  oracles_.supvd_lost(true);
  operator_.brain_lost();
}

void SimWorld::remember_stale(const Event& event) {
  if (std::holds_alternative<ev::Judged>(event)) return;  // told exactly once
  const bool of_a_run = std::visit(
      [](const auto& news) {
        return requires { news.run; };
      },
      event);
  if (!of_a_run && !std::holds_alternative<ev::HttpDone>(event)) return;
  old_news_.push_back(event);
  if (old_news_.size() > 64) old_news_.pop_front();
}

/// News of runs that are buried, and answers that were given before, come once more.
void SimWorld::tell_old_news() {
  if (old_news_.empty() || !sim_.dice.chance(sim_.menu.stale_news)) return;
  const Event event = old_news_[static_cast<std::size_t>(
      sim_.dice.between(0, static_cast<std::int64_t>(old_news_.size()) - 1))];
  const bool over = std::visit(
      [&](const auto& news) {
        if constexpr (requires { news.run; })
          return forgotten_.contains(news.run);
        else
          return true;
      },
      event);
  if (over) inbox_.push_front(event);
}

}  // namespace supv::sim
