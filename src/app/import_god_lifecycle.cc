#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/import_god_parts.h"
#include "base/units.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

/// Whether a condition says that the watch's own process is (not) there.
bool says_running(const Thing& thing) {
  return !thing.custom && thing.kind == "process_running" && thing.get("running").truth;
}
bool says_gone(const Thing& thing) {
  if (thing.custom) return false;
  return thing.kind == "process_exits" || thing.kind == "process_not_running" ||
         (thing.kind == "process_running" && !thing.get("running").truth);
}
bool says_nothing(const Thing& thing) {
  return !thing.custom && thing.kind == "always" && thing.get("what").truth;
}

bool only(const std::vector<std::string>& states, std::initializer_list<std::string_view> allowed) {
  return std::all_of(states.begin(), states.end(), [&](const std::string& state) {
    return std::find(allowed.begin(), allowed.end(), state) != allowed.end();
  });
}

std::string destination(const Metric& metric, bool verdict) {
  if (metric.to.is_word()) return verdict ? metric.to.text : std::string();
  for (const auto& [key, state] : metric.to.pairs) {
    if (key.is(Kind::boolean) && key.truth == verdict) return state.text;
  }
  return {};
}

/// God's state machine of one watch, read as what it is for.
class Lifecycle {
 public:
  Lifecycle(const RecordedWatch& watch, Room& room, Yaml& out)
      : watch_(watch), room_(room), out_(out) {}

  void convert() {
    for (const Keepalive& keepalive : watch_.keepalives) read_keepalive(keepalive);
    for (const Metric& metric : watch_.metrics) read(metric);
    write_keepalive();
    write_start_timeout();
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      if (!lists_[i].items.empty()) out_.set(kLists[i].key, lists_[i]);
    }
    if (!transitions_.items.empty()) out_.set("transitions", transitions_);
    if (!lifecycle_.items.empty()) out_.set("lifecycle", lifecycle_);
  }

 private:
  void read_keepalive(const Keepalive& keepalive) {
    starts_ = replaces_ = true;
    Yaml limits = map();
    const auto put = [&](const char* key, const std::optional<Yaml>& value) {
      if (value) limits.set(key, *value);
    };
    put("memory_max", size(attribute(keepalive.options, "memory_max")));
    put("memory_times", times(attribute(keepalive.options, "memory_times")));
    put("cpu_max", percent(attribute(keepalive.options, "cpu_max")));
    put("cpu_times", times(attribute(keepalive.options, "cpu_times")));
    if (limits.entries.empty()) return;
    put("interval", duration(attribute(keepalive.options, "interval")));
    if (limits.find("memory_max") != nullptr) {
      room_.notes.changed(keepalive.spot,
                          "memory_max: god measured the RSS of one process, supv "
                          "the PSS of its whole tree");
    }
    if (limits.find("cpu_max") != nullptr) {
      room_.notes.changed(keepalive.spot,
                          "cpu_max: god measured the average since the process's "
                          "start, supv each interval, of the whole tree; a limit "
                          "may need tuning");
    }
    keepalive_ = limits;
  }

  void read(const Metric& metric) {
    if (metric.to.is(Kind::code)) {
      room_.notes.lost(metric.spot, "a transition whose destination is a lambda");
    } else if (metric.from.empty()) {
      for (const Thing& each : metric.conditions) read_lifecycle(each);
    } else if (metric.from.size() == 1 && metric.from[0] == "up" &&
               destination(metric, false).empty()) {
      read_up(metric);
    } else if (!read_beginning(metric)) {
      general(metric, metric.conditions);
    }
  }

  // --- up -> ... ------------------------------------------------------------------------------
  void read_up(const Metric& metric) {
    std::vector<Thing> rest;
    for (const Thing& each : metric.conditions) {
      const std::string own = text_of(each.get("transition"));
      const std::string to = own.empty() ? destination(metric, true) : own;
      if (says_gone(each) && (to == "start" || to == "restart")) {
        starts_ = replaces_ = true;
        tell_of_end(each);
      } else if (const auto* list = list_for(to)) {
        add(lists_[static_cast<std::size_t>(list - kLists.data())], condition(each, room_));
        if (to == "start") {
          room_.notes.changed(each.spot,
                              "start_if: god started a second copy when the first still "
                              "ran, supv starts only what does not run");
        }
      } else {
        rest.push_back(each);
      }
    }
    if (!rest.empty()) general(metric, rest);
  }

  /// A death that had somebody told: the restart is implied, the telling is not.
  void tell_of_end(const Thing& thing) {
    const auto notify = notify_of(thing, room_);
    if (!notify) return;
    Yaml parameters = map();
    parameters.set("notify", *notify);
    Yaml told = map();
    told.set("process_exits", parameters);
    add(lists_[kNotify], told);
  }

  // --- init -> ..., start -> up -----------------------------------------------------------------
  /// True when it is what supv does by itself.
  bool read_beginning(const Metric& metric) {
    const auto all = [&](auto&& test) {
      return !metric.conditions.empty() &&
             std::all_of(metric.conditions.begin(), metric.conditions.end(), test);
    };
    if (metric.from == std::vector<std::string>{"init"}) {
      const bool adopts = destination(metric, true) == "up" &&
                          destination(metric, false) == "start" && all(says_running);
      const bool begins = destination(metric, true) == "start" &&
                          all([](const Thing& t) { return says_gone(t) || says_nothing(t); });
      starts_ = starts_ || adopts || begins;
      return adopts || begins;
    }
    if (!only(metric.from, {"start", "restart"}) || destination(metric, true) != "up") return false;
    const bool usual = all([](const Thing& thing) {
      return says_running(thing) || says_nothing(thing) ||
             (thing.kind == "tries" && text_of(thing.get("transition")) == "start");
    });
    if (!usual) return false;
    for (const Thing& each : metric.conditions) {
      if (each.kind == "tries") read_tries(each);
    }
    return true;
  }

  /// So many polls may pass before the start counts as failed.
  void read_tries(const Thing& thing) {
    const Value& own = thing.get("interval");
    const Value& interval = own.present() ? own : room_.interval;
    const Value& count = thing.get("times");
    if (count.is(Kind::number) && interval.is(Kind::number)) {
      tries_seconds_ = std::max(1.0, count.number * interval.number);
    }
    room_.notes.changed(thing.spot,
                        "tries: god started again after so many polls; with supv a "
                        "start that fails, or takes longer than start_timeout, is "
                        "repeated with growing waits (backoff)");
  }

  // --- lifecycle --------------------------------------------------------------------------------
  void read_lifecycle(const Thing& thing) {
    const std::string to = text_of(thing.get("transition"));
    if (!thing.custom && thing.kind == "flapping") {
      if (!complete(thing, room_)) return;
      to.empty() ? read_flapping_notice(thing) : read_flapping(thing, to);
      return;
    }
    add(lifecycle_, condition(thing, room_, to));
    room_.notes.changed(thing.spot,
                        "lifecycle: god forgot polled conditions at the first change "
                        "of state, supv keeps them");
  }

  void read_flapping(const Thing& thing, const std::string& to) {
    Yaml flapping = map();
    const auto put = [&](const char* key, const std::optional<Yaml>& value) {
      if (value) flapping.set(key, *value);
    };
    put("times", integer(thing.get("times")));
    put("within", duration(thing.get("within")));
    put("retry_in", duration(thing.get("retry_in")));
    put("retry_times", integer(thing.get("retry_times")));
    put("retry_within", duration(thing.get("retry_within")));
    put("notify", notify_of(thing, room_));
    out_.set("flapping", flapping);
    if (to != "unmonitored") {
      room_.notes.review(thing.spot, fmt::format("flapping moved to :{}; supv's takes the watch "
                                                 "out until its retry or an operator",
                                                 to));
    }
    room_.notes.changed(thing.spot,
                        "flapping: god counted every start, an operator's too; supv "
                        "counts failures and restarts for a fault, shows `failed`, and "
                        "never revives what an operator stopped");
  }

  void read_flapping_notice(const Thing& thing) {
    Yaml parameters = map();
    const auto put = [&](const char* key, const std::optional<Yaml>& value) {
      if (value) parameters.set(key, *value);
    };
    put("failures", integer(thing.get("times")));
    put("within", duration(thing.get("within")));
    put("notify", notify_of(thing, room_));
    Yaml behavior = map();
    behavior.set("notify_when_flapping", parameters);
    const Yaml* old = out_.find("behaviors");
    Yaml behaviors = old != nullptr ? *old : list();
    behaviors.items.push_back(behavior);
    out_.set("behaviors", behaviors);
  }

  // --- whatever else ----------------------------------------------------------------------------
  /// supv's machine has god's states, and no way into `init` or out of `unmonitored`.
  bool drawable(const Metric& metric) {
    const std::string yes = destination(metric, true);
    const std::string no = destination(metric, false);
    constexpr std::array kTo = {"", "up", "start", "restart", "stop", "unmonitored"};
    if (only(metric.from, {"init", "up", "start", "restart", "stop"}) &&
        std::find(kTo.begin(), kTo.end(), yes) != kTo.end() &&
        std::find(kTo.begin(), kTo.end(), no) != kTo.end() && yes + no != "") {
      return true;
    }
    room_.notes.lost(metric.spot, fmt::format("a transition from {} to {}", metric.from.front(),
                                              yes.empty() ? no : yes));
    return false;
  }

  void general(const Metric& metric, const std::vector<Thing>& conditions) {
    if (!drawable(metric)) return;
    Yaml all = list();
    for (const Thing& each : conditions) {
      add(all, condition(each, room_, text_of(each.get("transition"))));
    }
    if (all.items.empty()) return;
    Yaml from = list();
    for (const std::string& state : metric.from) from.items.push_back(word(state));
    Yaml to = word(destination(metric, true));
    if (!destination(metric, false).empty()) {
      to = map();
      if (!destination(metric, true).empty()) to.set("true", word(destination(metric, true)));
      to.set("false", word(destination(metric, false)));
    }
    Yaml one = map();
    one.set("from", from.items.size() == 1 ? from.items.front() : from);
    one.set("to", to);
    one.set("if", all);
    transitions_.items.push_back(one);
    starts_ =
        starts_ || destination(metric, true) == "start" || destination(metric, false) == "start";
  }

  static void add(Yaml& list, std::optional<Yaml> condition) {
    if (condition) list.items.push_back(std::move(*condition));
  }

  void write_keepalive() {
    if (replaces_) {
      out_.set("keepalive", keepalive_.entries.empty() ? word("true") : keepalive_);
      return;
    }
    out_.set("keepalive", word("false"));
    if (starts_) {
      room_.notes.review(watch_.spot,
                         "keepalive: false, because nothing in the file starts it "
                         "again after it ended");
      return;
    }
    out_.set("autostart", word("false"));
    room_.notes.review(watch_.spot,
                       "keepalive: false and autostart: false, because nothing in the "
                       "file starts it: god would have watched and never launched it");
  }

  void write_start_timeout() {
    if (!tries_seconds_ || out_.find("pid_file") == nullptr) return;
    const auto ms = static_cast<std::int64_t>(std::llround(*tries_seconds_ * 1000));
    out_.set("start_timeout", word(format_duration(Duration{ms})));
  }

  struct ListName {
    std::string_view state;
    const char* key;
  };
  static constexpr std::array<ListName, 5> kLists = {{{"start", "start_if"},
                                                      {"restart", "restart_if"},
                                                      {"stop", "stop_if"},
                                                      {"unmonitored", "unmonitor_if"},
                                                      {"", "notify_if"}}};
  static constexpr std::size_t kNotify = 4;
  static const ListName* list_for(std::string_view state) {
    const auto* found = std::find_if(kLists.begin(), kLists.end(),
                                     [&](const ListName& name) { return name.state == state; });
    return found == kLists.end() ? nullptr : found;
  }

  const RecordedWatch& watch_;
  Room& room_;
  Yaml& out_;
  bool starts_ = false;    ///< Something starts it when god begins.
  bool replaces_ = false;  ///< Something starts it again when it has ended.
  Yaml keepalive_ = map();
  std::optional<double> tries_seconds_;
  std::array<Yaml, kLists.size()> lists_ = {list(), list(), list(), list(), list()};
  Yaml transitions_ = list();
  Yaml lifecycle_ = list();
};

}  // namespace

void convert_lifecycle(const RecordedWatch& watch, Room& room, Yaml& out) {
  Lifecycle(watch, room, out).convert();
}

}  // namespace supv::import_god
