#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/messages.h"
#include "core/random.h"

/// What every part of the simulated world shares: one clock, one source of chance, one history.
namespace supv::sim {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// A promise was broken. The text names the promise and what happened.
struct Violated : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Not failures but fates: they unwind what the killed process was doing.
struct KeeperKilled {};
struct BrainKilled {};

/// Every choice of a history comes from here, so that a seed names it.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::uint64_t bits() { return random_.next(); }
  bool chance(double probability) {
    return probability > 0 && (probability >= 1 || random_.unit() < probability);
  }
  /// Uniform, both ends included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low +
           static_cast<std::int64_t>(random_.next() % static_cast<std::uint64_t>(high - low + 1));
  }
  Duration time(Duration low, Duration high) {
    return Duration(between(low.count(), high.count()));
  }
  template <typename T>
  T pick(std::initializer_list<T> choices) {
    return *(choices.begin() + between(0, static_cast<std::int64_t>(choices.size()) - 1));
  }

 private:
  Random random_;
};

/// What is going to happen, in order of time, then of planning.
class Agenda {
 public:
  Time now() const { return now_; }
  std::int64_t wall_ms() const { return kEpochMs + now_.time_since_epoch().count() / 1'000'000; }
  Moment moment() const { return {now_, wall_ms()}; }
  void at(Time time, std::function<void()> what) {
    plans_.emplace(std::pair(std::max(time, now_), next_++), std::move(what));
  }
  void in(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  std::optional<Time> first() const {
    return plans_.empty() ? std::nullopt : std::optional(plans_.begin()->first.first);
  }
  void run_first() {
    auto plan = plans_.extract(plans_.begin());
    now_ = plan.key().first;
    plan.mapped()();
  }
  void advance(Time time) { now_ = std::max(now_, time); }

 private:
  static constexpr std::int64_t kEpochMs = 1'800'000'000'000;
  Time now_{std::chrono::hours(1)};
  std::uint64_t next_ = 0;
  std::map<std::pair<Time, std::uint64_t>, std::function<void()>> plans_;
};

/// How likely each kind of mishap is in one history: drawn anew for each seed, so that some
/// histories are full of one kind and know nothing of another. All zero once the faults have ended.
struct Menu {
  // Per effect boundary.
  double brain_crash = 0;
  double keeper_crash = 0;
  // Mean time between two of a kind; zero: never.
  Duration courier_crash{0};
  Duration brain_freeze{0};
  Duration reboot{0};
  Duration terminate{0};
  Duration operation{0};
  Duration consul_write{0};
  Duration consul_trouble{0};
  Duration strangers{0};
  // Per occasion.
  double record_fails = 0;
  double store_fails = 0;
  double fork_fails = 0;
  double exec_fails = 0;
  double slow_exec = 0;
  double stale_news = 0;
  double late_wake = 0;
  double never_ready = 0;
  double dies = 0;
  double dies_young = 0;
  double ignores_term = 0;
  double has_children = 0;
  double children_outlive = 0;
  double sleeps_uninterruptibly = 0;
  double condition_true = 0;
  double condition_unknown = 0;
  double errand_fails = 0;
  double errand_hangs = 0;
  double bad_load = 0;

  static Menu draw(Dice& dice);
};

/// What the machine of one history is like.
struct Machinery {
  bool cgroups = true;
  bool pidfs = true;
  bool sees_adopted_status = false;  ///< Linux 6.15: also of processes that are not children.
  int last_pid = 200;
  int channel_room = 1000;
  static Machinery draw(Dice& dice);
};

/// The history of one seed: a running hash, and in full for a person who replays it.
class Trace {
 public:
  Trace(bool shown, const Agenda& agenda) : shown_(shown), agenda_(agenda) {}
  void operator()(const std::string& line);
  std::uint64_t hash() const { return hash_; }
  std::uint64_t lines() const { return lines_; }

 private:
  bool shown_;
  const Agenda& agenda_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::uint64_t lines_ = 0;
};

/// Passed to every part.
struct Sim {
  Agenda agenda;
  Dice dice;
  Dice more;  ///< For what came later: it leaves the choices of known seeds as they were.
  Menu menu;
  Machinery machinery;
  Trace trace;
  bool calm = false;  ///< The faults have ended; everything behaves from now on.

  Sim(std::uint64_t seed, bool shown);
  /// Plans `what` again and again, about every `mean`, until the calm.
  void now_and_then(Duration Menu::*mean, std::function<void()> what);
};

}  // namespace supv::sim
