#include "tests/sim/sim.h"

#include <fmt/format.h>

#include <cstdio>

namespace supv::sim {
namespace {

/// A kind of mishap is absent, rare, or all over the place.
double rate(Dice& dice, double rare, double often) {
  return dice.pick<double>({0, 0, rare, rare, often});
}

Duration pace(Dice& dice, Duration rare, Duration often) {
  return dice.pick<Duration>({Duration(0), rare, rare, often});
}

}  // namespace

Menu Menu::draw(Dice& dice) {
  Menu menu;
  menu.brain_crash = rate(dice, 0.002, 0.03);
  menu.keeper_crash = rate(dice, 0.0005, 0.01);
  menu.courier_crash = pace(dice, minutes(5), seconds(20));
  menu.brain_freeze = pace(dice, minutes(10), minutes(1));
  menu.reboot = dice.pick<Duration>({Duration(0), Duration(0), Duration(0), minutes(10)});
  menu.terminate = dice.pick<Duration>({Duration(0), Duration(0), minutes(10), minutes(3)});
  menu.operation = dice.pick<Duration>({Duration(0), minutes(2), seconds(30), seconds(3)});
  menu.consul_write = dice.pick<Duration>({Duration(0), minutes(2), seconds(20), seconds(1)});
  menu.consul_trouble = pace(dice, minutes(4), seconds(40));
  menu.strangers = dice.pick<Duration>({seconds(20), seconds(1), milliseconds(100)});
  menu.record_fails = rate(dice, 0.02, 0.3);
  menu.store_fails = rate(dice, 0.01, 0.2);
  menu.fork_fails = rate(dice, 0.03, 0.3);
  menu.exec_fails = rate(dice, 0.03, 0.3);
  menu.slow_exec = rate(dice, 0.05, 0.5);
  menu.stale_news = rate(dice, 0.02, 0.2);
  menu.late_wake = rate(dice, 0.01, 0.2);
  menu.never_ready = rate(dice, 0.05, 0.3);
  menu.dies = rate(dice, 0.3, 0.9);
  menu.dies_young = rate(dice, 0.1, 0.7);
  menu.ignores_term = rate(dice, 0.1, 0.5);
  menu.has_children = rate(dice, 0.2, 0.7);
  menu.children_outlive = rate(dice, 0.3, 0.9);
  menu.sleeps_uninterruptibly = rate(dice, 0.05, 0.2);
  menu.condition_true = rate(dice, 0.02, 0.2);
  menu.condition_unknown = rate(dice, 0.1, 0.5);
  menu.errand_fails = rate(dice, 0.1, 0.4);
  menu.errand_hangs = rate(dice, 0.05, 0.2);
  menu.bad_load = rate(dice, 0.1, 0.5);
  return menu;
}

Machinery Machinery::draw(Dice& dice) {
  Machinery machinery;
  machinery.cgroups = dice.chance(0.6);
  machinery.pidfs = dice.chance(0.7);
  machinery.sees_adopted_status = dice.chance(0.3);
  machinery.last_pid = static_cast<int>(dice.pick({100, 200, 2000}));
  machinery.channel_room = static_cast<int>(dice.pick({1, 3, 1000}));
  return machinery;
}

void Trace::operator()(const std::string& line) {
  const std::int64_t ns = agenda_.now().time_since_epoch().count();
  const std::string text = fmt::format("{:>12.6f} {}\n", static_cast<double>(ns) / 1e9, line);
  ++lines_;
  for (const char c : text) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  if (shown_) std::fputs(text.c_str(), stdout);
}

Sim::Sim(std::uint64_t seed, bool shown)
    : dice(seed),
      more(~seed),
      menu(Menu::draw(dice)),
      machinery(Machinery::draw(dice)),
      trace(shown, agenda) {}

void Sim::now_and_then(Duration Menu::*mean, std::function<void()> what) {
  const Duration about = menu.*mean;
  if (about.count() == 0) return;
  agenda.in(dice.time(Duration(1), about * 2), [this, mean, what = std::move(what)] {
    if (calm) return;
    what();
    now_and_then(mean, what);
  });
}

}  // namespace supv::sim
