#include "tests/sim/stories.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "core/memo.h"

namespace supv::sim {
namespace {

KvSpec draw_kv(Dice& dice) {
  KvSpec kv;
  kv.prefix = dice.chance(0.2);
  const auto keys = story_keys();
  kv.path =
      keys[static_cast<std::size_t>(dice.between(0, static_cast<std::int64_t>(keys.size()) - 1))];
  if (kv.prefix) kv.path = "app/";
  kv.window = static_cast<std::uint32_t>(dice.between(2, 4));
  kv.mode = dice.chance(0.3) ? KvSpec::Mode::poll : KvSpec::Mode::watch;
  kv.interval = dice.pick<Duration>({seconds(1), seconds(5)});
  kv.settle = dice.pick<Duration>({Duration(0), Duration(0), seconds(2)});
  kv.min_interval = dice.pick<Duration>({Duration(0), seconds(5), seconds(20)});
  kv.on_delete = dice.chance(0.5) ? KvSpec::OnDelete::change : KvSpec::OnDelete::hold;
  kv.missed = dice.pick({KvSpec::Missed::act, KvSpec::Missed::act, KvSpec::Missed::act,
                         KvSpec::Missed::ignore, KvSpec::Missed::notify});
  return kv;
}

void add_condition(Dice& dice, WatchSpec& watch, const std::string& name, ConditionKind kind) {
  ConditionSpec condition;
  condition.name = name;
  condition.id = fmt::format("{}#{}", name, watch.conditions.size() + 1);
  condition.kind = kind;
  if (kind == ConditionKind::change) {
    condition.kv = draw_kv(dice);
    condition.splay = dice.pick<Duration>({Duration(0), Duration(0), seconds(3)});
    condition.action = dice.pick({Action::restart, Action::restart, Action::restart,
                                  Action::restart, Action::reload, Action::notify, Action::stop});
  } else if (kind == ConditionKind::exit) {
    condition.action = dice.pick({Action::restart, Action::notify});
  } else {
    condition.interval = dice.pick<Duration>({seconds(1), seconds(5), seconds(30)});
    condition.times = dice.pick({TimesSpec{1, 1}, TimesSpec{3, 5}, TimesSpec{2, 2}});
    condition.action = dice.pick({Action::restart, Action::restart, Action::start, Action::stop,
                                  Action::reload, Action::notify});
  }
  if (condition.action == Action::start) condition.phases = phase::kRest;
  if (kind == ConditionKind::exit)
    condition.phases = phase::kStarting | phase::kRestarting | phase::kUp;
  // Twice the same in one list is one too many.
  for (const ConditionSpec& other : watch.conditions)
    if (other.kv && condition.kv && condition_key(other) == condition_key(condition)) return;
  watch.conditions.push_back(std::move(condition));
}

/// Conditions of other phases, and wholes. While all is calm polls are false, and everything is to
/// settle: what a start waits for must then come from `otherwise`.
void add_rarer_conditions(Dice& dice, WatchSpec& watch) {
  const auto add = [&](ConditionList list, std::uint8_t phases, Action action) -> ConditionSpec& {
    ConditionSpec condition;
    condition.name = "memory_usage";
    condition.id = fmt::format("more#{}", watch.conditions.size() + 1);
    condition.interval = dice.pick<Duration>({seconds(1), seconds(5)});
    condition.splay = dice.pick<Duration>({Duration(0), Duration(0), seconds(4)});
    condition.list = list;
    condition.phases = phases;
    condition.action = action;
    watch.conditions.push_back(std::move(condition));
    return watch.conditions.back();
  };
  constexpr auto kStarts = static_cast<std::uint8_t>(phase::kStarting | phase::kRestarting);
  if (dice.chance(0.4))
    add(ConditionList::lifecycle, phase::kAlways,
        dice.pick({Action::notify, Action::restart, Action::stop, Action::unmonitor}));
  if (dice.chance(0.3))
    add(ConditionList::transitions, kStarts, dice.pick({Action::restart, Action::stop}));
  if (dice.chance(0.2)) {
    add(ConditionList::transitions, kStarts, Action::none).otherwise = Action::up;
    watch.ready.kind = ReadySpec::Kind::condition;
  }
  if (dice.chance(0.2))
    add(ConditionList::transitions, phase::kInit, Action::none).otherwise = Action::start;
  if (dice.chance(0.2)) add(ConditionList::unmonitor_if, phase::kUp, Action::unmonitor);
  if (!dice.chance(0.4)) return;
  const auto whole = static_cast<std::int16_t>(watch.conditions.size());
  add(ConditionList::restart_if, phase::kUp, Action::restart).kind =
      dice.pick({ConditionKind::all, ConditionKind::any});
  for (int i = 0; i < 2; ++i) {
    ConditionSpec& part = add(ConditionList::restart_if, phase::kUp, Action::restart);
    part.parent = whole;
    part.splay = Duration(0);
  }
}

std::vector<LadderStep> draw_ladder(Dice& dice) {
  return dice.pick<std::vector<LadderStep>>(
      {{{SIGTERM, seconds(2)}, {SIGKILL, Duration(0)}},
       {{SIGTSTP, milliseconds(500)}, {SIGTERM, seconds(3)}, {SIGKILL, Duration(0)}},
       {{SIGUSR1, Duration(0)}, {SIGINT, seconds(1)}, {SIGKILL, Duration(0)}},
       {{SIGKILL, Duration(0)}}});
}

std::shared_ptr<const RareSpec> draw_rare(Dice& dice) {
  RareSpec rare;
  const auto some = [&](double p, const char* name) {
    return dice.chance(p) ? std::optional(Command{{name}, false}) : std::nullopt;
  };
  rare.stop = some(0.2, "stop");
  rare.restart = some(0.2, "restart");
  rare.reload = some(0.3, "reload");
  if (!rare.reload && dice.chance(0.4)) rare.reload_signal = SIGHUP;
  rare.hooks.before_start = some(0.2, "before_start");
  rare.hooks.after_start = some(0.2, "after_start");
  rare.hooks.before_stop = some(0.2, "before_stop");
  rare.hooks.after_stop = some(0.2, "after_stop");
  if (dice.chance(0.2))
    rare.flapping = FlappingSpec{4,
                                 minutes(1),
                                 dice.pick<Duration>({Duration(0), seconds(30)}),
                                 static_cast<std::uint32_t>(dice.pick({0, 3})),
                                 minutes(10),
                                 {}};
  return std::make_shared<const RareSpec>(std::move(rare));
}

void draw_ready(Dice& dice, WatchSpec& watch) {
  using Kind = ReadySpec::Kind;
  watch.ready.kind =
      dice.pick({Kind::alive, Kind::notify, Kind::notify, Kind::after, Kind::tcp, Kind::file});
  if (watch.ready.kind == Kind::after) watch.ready.after = seconds(2);
  watch.start_timeout = dice.pick<Duration>({seconds(4), seconds(10)});
  if (dice.chance(0.15)) watch.watchdog = seconds(5);
}

/// A command that is run now and then: it has conditions that start it, and nothing keeps it up.
void make_task(Dice& dice, WatchSpec& watch) {
  RareSpec rare;
  rare.task = TaskSpec{dice.pick<Duration>({Duration(0), seconds(5)}),
                       static_cast<std::uint32_t>(dice.pick({0, 2}))};
  watch.autostart = watch.keepalive = false;
  watch.process.pid_file = std::string();
  watch.ready = ReadySpec{};
  watch.watchdog = Duration(0);
  for (ConditionSpec& condition : watch.conditions) {
    condition.action = Action::start;
    condition.phases = phase::kRest;
    condition.otherwise.reset();
  }
  std::erase_if(watch.conditions, [](const ConditionSpec& condition) {
    return condition.kind == ConditionKind::exit || condition.list != ConditionList::restart_if ||
           condition.parent >= 0 || condition.kind == ConditionKind::all ||
           condition.kind == ConditionKind::any;
  });
  for (auto one = watch.conditions.begin(); one != watch.conditions.end(); ++one)
    watch.conditions.erase(std::remove_if(one + 1, watch.conditions.end(),
                                          [&](const ConditionSpec& other) {
                                            return condition_key(other) == condition_key(*one);
                                          }),
                           watch.conditions.end());
  watch.rare = std::make_shared<const RareSpec>(std::move(rare));
}

/// What needs no state of its own: another supervisor's pid file, people who want to know.
void add_rarer_keys(Dice& dice, WatchSpec& watch) {
  RareSpec rare = watch.rare ? *watch.rare : RareSpec();
  if (dice.chance(0.4)) rare.adopt = "/run/other.pid";
  if (dice.chance(0.4)) rare.notify.contacts = {"ops"};
  if (dice.chance(0.2)) rare.flapping_notice.emplace();
  watch.rare = std::make_shared<const RareSpec>(std::move(rare));
}

WatchSpec draw_watch(Sim& sim, const std::string& name) {
  Dice& dice = sim.dice;
  WatchSpec watch;
  watch.name = name;
  watch.file = fmt::format("/etc/supv/{}.watch.yaml", name);
  watch.groups = {dice.pick<std::string>({"even", "odd"})};
  watch.process.start.argv = {"prog", "v1"};
  watch.process.start.own_shell = dice.chance(0.2);
  watch.process.dir = "/";
  if (dice.chance(0.2)) watch.process.pid_file = fmt::format("/run/{}.pid", name);
  watch.process.whole_tree = !dice.chance(0.1);
  draw_ready(dice, watch);
  watch.ladder = draw_ladder(dice);
  watch.stop_timeout = seconds(3);
  watch.autostart = !dice.chance(0.15);
  watch.keepalive = !dice.chance(0.15);
  watch.backoff.max = seconds(20);
  watch.backoff.reset_after = dice.pick<Duration>({seconds(10), seconds(60)});
  watch.grace = dice.pick<Duration>({Duration(0), Duration(0), seconds(5)});
  watch.restart_grace = dice.pick<Duration>({Duration(0), seconds(3)});
  if (dice.chance(0.5)) watch.rare = draw_rare(dice);
  if (dice.chance(0.8)) add_condition(dice, watch, "consul_kv", ConditionKind::change);
  if (dice.chance(0.2)) add_condition(dice, watch, "consul_kv", ConditionKind::change);
  if (dice.chance(0.4)) add_condition(dice, watch, "memory_usage", ConditionKind::poll);
  if (dice.chance(0.2)) add_condition(dice, watch, "process_exits", ConditionKind::exit);
  if (sim.more.chance(0.4)) add_rarer_conditions(sim.more, watch);
  if (sim.more.chance(0.15)) make_task(sim.more, watch);
  if (sim.more.chance(0.3)) add_rarer_keys(sim.more, watch);
  return watch;
}

void change_shape(Dice& dice, WatchSpec& watch) {
  watch.process.start.argv.back() = fmt::format("v{}", dice.between(1, 4));
}

/// As the loader sees to: a transition to `up` is what ready means.
void settle_ready(WatchSpec& watch) {
  const bool rises =
      std::any_of(watch.conditions.begin(), watch.conditions.end(),
                  [](const ConditionSpec& one) { return one.otherwise == Action::up; });
  if (rises) watch.ready.kind = ReadySpec::Kind::condition;
  if (!rises && watch.ready.kind == ReadySpec::Kind::condition)
    watch.ready.kind = ReadySpec::Kind::alive;
}

void change_live(Dice& dice, WatchSpec& watch) {
  const bool task = watch.rare && watch.rare->task;
  switch (task ? dice.between(0, 1) : dice.between(0, 3)) {
    case 0:
      watch.ladder = draw_ladder(dice);
      return;
    case 1:
      watch.grace = dice.time(Duration(0), seconds(6));
      return;
    case 2:
      watch.conditions.clear();
      add_condition(dice, watch, "consul_kv", ConditionKind::change);
      return;
    default:
      draw_ready(dice, watch);
      return;
  }
}

}  // namespace

std::vector<std::string> story_keys() { return {"app/a", "app/b", "cfg"}; }

Config draw_config(Sim& sim) {
  Config config;
  config.clusters[""] = ConsulSpec{};
  const auto count = sim.dice.between(1, 4);
  for (std::int64_t i = 0; i < count; ++i)
    config.watches.push_back(draw_watch(sim, fmt::format("w{}", i)));
  config.contacts = {{"ops", "webhook", {}, {}}};
  config.files = {"/etc/supv"};
  return config;
}

void edit_config(Sim& sim, Config& config) {
  Dice& dice = sim.dice;
  const auto last = static_cast<std::int64_t>(config.watches.size()) - 1;
  const auto kind = dice.between(0, 9);
  if (kind == 0 || last < 0) {
    for (int i = 0; i < 6; ++i) {
      const std::string name = fmt::format("w{}", i);
      if (std::any_of(config.watches.begin(), config.watches.end(),
                      [&](const WatchSpec& watch) { return watch.name == name; }))
        continue;
      config.watches.push_back(draw_watch(sim, name));
      return;
    }
  }
  const auto at = static_cast<std::size_t>(dice.between(0, std::max<std::int64_t>(last, 0)));
  if (kind == 1) {
    config.watches.erase(config.watches.begin() + static_cast<std::ptrdiff_t>(at));
  } else if (kind < 6) {
    change_shape(dice, config.watches[at]);
  } else {
    change_live(dice, config.watches[at]);
    settle_ready(config.watches[at]);
  }
}

void stay_in_character(Config& config, const Config& in_force) {
  for (WatchSpec& watch : config.watches)
    for (const WatchSpec& old : in_force.watches)
      if (old.name == watch.name) {
        // A task has conditions of its own, and stays one.
        const auto task = [](const WatchSpec& spec) { return spec.rare && spec.rare->task; };
        if (task(old) != task(watch)) {
          const ProcessSpec process = watch.process;
          watch = old;
          watch.process.start = process.start;
        }
        watch.autostart = old.autostart;
        watch.keepalive = old.keepalive;
        watch.rare = old.rare;
      }
}

void draw_consul_life(Sim& sim, FakeConsul& consul) {
  for (const std::string& key : story_keys())
    if (sim.dice.chance(0.8)) consul.put(key, "v0");
  sim.now_and_then(&Menu::consul_write, [&sim, &consul] {
    const auto keys = story_keys();
    const std::string& key = keys[static_cast<std::size_t>(sim.dice.between(0, 2))];
    switch (sim.dice.between(0, 11)) {
      case 0:
        return consul.remove(key);
      case 1:
        return consul.touch(key);
      case 2:
        return consul.take_snapshot();
      case 3:
        return consul.restore_snapshot();
      case 4:
        return consul.put("app/sibling", fmt::format("v{}", sim.dice.between(0, 9)));
      case 5:
        return consul.put("elsewhere/x", fmt::format("v{}", sim.dice.between(0, 9)));
      case 6:
        return consul.put("app/b", "");
      default:
        return consul.put(key, fmt::format("v{}", sim.dice.between(0, 3)));
    }
  });
  sim.now_and_then(&Menu::consul_trouble, [&sim, &consul] {
    consul.set_mood(static_cast<FakeConsul::Mood>(sim.dice.between(1, 7)));
    sim.agenda.in(sim.dice.time(milliseconds(100), minutes(1)),
                  [&consul] { consul.set_mood(FakeConsul::Mood::well); });
  });
}

}  // namespace supv::sim
