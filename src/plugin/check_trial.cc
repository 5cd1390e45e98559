#include "plugin/check_trial.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "base/text.h"
#include "plugin/options.h"

namespace supv {
namespace {

using Level = Finding::Level;
using std::chrono::steady_clock;

constexpr int kTicks = 1000;
constexpr int kWarmUp = 200;
constexpr int kPolls = 10;
constexpr std::chrono::nanoseconds kOften{1'000'000};

/// How a number grew over four equal parts: never less than this much in any of them.
class Growth {
 public:
  void sample(std::size_t value) { values_.push_back(value); }
  bool complete() const { return values_.size() == 5; }
  std::size_t least() const {
    if (!complete()) return 0;
    std::size_t least = SIZE_MAX;
    for (std::size_t i = 1; i < values_.size(); ++i)
      least = std::min(least, values_[i] > values_[i - 1] ? values_[i] - values_[i - 1] : 0);
    return least;
  }

 private:
  std::vector<std::size_t> values_;
};

std::vector<std::string> bad_values(supv_type type) {
  switch (type) {
    case SUPV_DURATION:
    case SUPV_SIZE:
    case SUPV_PERCENT:
    case SUPV_INTEGER:
      return {"", "garbage", "-1", "1e999", "99999999999999999999", "nan", "0x10", "1,5", "3 "};
    case SUPV_BOOLEAN:
      return {"", "maybe", "TRUE"};
    case SUPV_CHOICE:
      return {"", "no such choice", "|"};
    case SUPV_TEXT:
    case SUPV_LIST:
      break;
  }
  return {"", "%s%s%n", "\n\n", "\xff\xfe", std::string(65536, 'x')};
}

}  // namespace

Trial::Trial(Sheet& sheet, const PluginCheck& check, int file)
    : sheet_(sheet), check_(check), file_(file) {}

void Trial::run() {
  try {
    load();
    choose_options();
    create();
    try_values();
    if (declaration_->descriptor().kind == SUPV_EXIT) {
      tell_endings();
    } else {
      tick();
    }
    tell_odd_events();
    live_and_die();
  } catch (const TrialOver&) {
  } catch (const std::exception& error) {
    sheet_.note(Level::wrong, error.what());
  }
  sheet_.finish();
}

bool Trial::over(steady_clock::time_point began) const {
  return steady_clock::now() - began > check_.patience;
}

void Trial::create() {
  Subject subject(*watch_, options_);
  if (!subject.create()) {
    sheet_.note(Level::wrong, fmt::format("it refuses its options: {}", subject.why()));
    if (!guessed_.empty())
      sheet_.note(
          Level::warning,
          fmt::format("these were made up, --option NAME=VALUE gives better ones: {}", guessed_));
    throw TrialOver{};
  }
  subject.destroy();
  sheet_.note(Level::ok,
              guessed_.empty() ? "made and destroyed" : "made and destroyed, with " + guessed_);
}

void Trial::try_values() {
  sheet_.enter("values");
  const supv_condition_descriptor& known = declaration_->descriptor();
  const auto began = steady_clock::now();
  for (std::uint32_t i = 0; i < known.option_count; ++i)
    for (const std::string& value : bad_values(known.options[i].type))
      if (!over(began)) try_value(known.options[i], value);
  if (refused_ + taken_ > 0)
    sheet_.note(Level::ok, fmt::format("of {} odd values of its options it refuses {} and copes "
                                       "with {}",
                                       refused_ + taken_, refused_, taken_));
}

void Trial::try_value(const supv_option& option, const std::string& value) {
  PluginOptions options;
  for (const auto& one : options_)
    if (one.first != option.name) options.push_back(one);
  options.emplace_back(option.name, value);
  Subject subject(*watch_, options);
  if (!subject.create()) {
    ++refused_;
    return;
  }
  ++taken_;
  if (declaration_->descriptor().kind == SUPV_EXIT) {
    subject.end(0, 0);
  } else {
    subject.tick();
  }
  subject.destroy();
}

void Trial::tick() {
  sheet_.enter("ticks");
  Subject subject(*watch_, options_);
  if (!subject.create()) throw BadPlugin("it refuses now what it took before: " + subject.why());
  watch_->take_times();
  std::array<int, 4> outcomes{};
  Growth bytes;
  Growth descriptors;
  Growth threads;
  const auto began = steady_clock::now();
  int ticks = 0;
  for (; ticks < kTicks && !over(began); ++ticks) {
    if (ticks >= kWarmUp && (ticks - kWarmUp) % ((kTicks - kWarmUp) / 4) == 0)
      bytes.sample(allocated_bytes());
    if (ticks % 25 == 0 && ticks >= 25 && ticks <= 125) {
      descriptors.sample(static_cast<std::size_t>(open_descriptors()));
      threads.sample(static_cast<std::size_t>(live_threads()));
      if (descriptors.least() >= 25)
        sheet_.note(Level::wrong, fmt::format("opens {} descriptor(s) with each poll and keeps "
                                              "them",
                                              descriptors.least() / 25));
      if (threads.least() >= 25)
        sheet_.note(Level::wrong,
                    fmt::format("starts {} thread(s) with each poll", threads.least() / 25));
      if (descriptors.least() >= 25 || threads.least() >= 25) break;
    }
    const auto outcome = static_cast<unsigned>(subject.tick());
    if (outcome < outcomes.size()) ++outcomes[outcome];
  }
  bytes.sample(allocated_bytes());
  const CallWatch::Times times = watch_->take_times();
  subject.destroy();
  if (const std::size_t least = bytes.least(); least >= 200)
    sheet_.note(Level::warning,
                fmt::format("needs {} bytes more with each poll of one run, and has no limit in "
                            "{} polls",
                            least / 200, kTicks));
  sheet_.note(Level::ok,
              fmt::format("asked {} times: {} ok, {} fire, {} unknown", ticks, outcomes[SUPV_OK],
                          outcomes[SUPV_FIRE], outcomes[SUPV_UNKNOWN]));
  if (ticks < kTicks && over(began))
    sheet_.note(Level::warning, fmt::format("only {} of {} polls in {} ms", ticks, kTicks,
                                            check_.patience.count()));
  say_times("poll", times);
}

void Trial::tell_endings() {
  sheet_.enter("endings");
  watch_->take_times();
  std::array<int, 4> outcomes{};
  for (int code = -1; code < 256; code += code < 2 ? 1 : 63) {
    for (const int signal : {0, 9, 15}) {
      if ((code < 0) != (signal != 0)) continue;
      Subject subject(*watch_, options_);
      if (!subject.create())
        throw BadPlugin("it refuses now what it took before: " + subject.why());
      const auto outcome = static_cast<unsigned>(subject.end(code, signal));
      if (outcome < outcomes.size()) ++outcomes[outcome];
      subject.destroy();
    }
  }
  sheet_.note(Level::ok, fmt::format("told of {} ends: {} ok, {} fire, {} unknown",
                                     outcomes[0] + outcomes[1] + outcomes[2], outcomes[SUPV_OK],
                                     outcomes[SUPV_FIRE], outcomes[SUPV_UNKNOWN]));
  say_times("call", watch_->take_times());
}

void Trial::say_times(const char* what, const CallWatch::Times& times) {
  if (times.calls == 0) return;
  const auto average = times.sum / static_cast<std::int64_t>(times.calls);
  const std::string text = fmt::format("a {} takes {:.1f} us, the longest {:.1f} us", what,
                                       static_cast<double>(average.count()) / 1e3,
                                       static_cast<double>(times.longest.count()) / 1e3);
  if (!watch_->waits() && average > kOften) {
    sheet_.note(Level::warning, text + ": too long without SUPV_WAITS");
  } else {
    sheet_.note(Level::ok, text);
  }
}

void Trial::tell_odd_events() {
  sheet_.enter("events");
  Subject subject(*watch_, options_);
  if (!subject.create()) throw BadPlugin("it refuses now what it took before: " + subject.why());
  subject.tell_unknown_event(99);
  subject.end(1, 0);
  subject.end(-1, 9);
  subject.destroy();
  Subject later(*watch_, options_, true);
  if (!later.create())
    throw BadPlugin("with the larger structs of a later supvd it refuses: " + later.why());
  for (int i = 0; i < kPolls; ++i) later.tick();
  later.end(0, 0);
  later.destroy();
  Subject earlier(*watch_, options_);
  earlier.create();
  if (!earlier.tick_without_metrics())
    sheet_.note(Level::warning,
                "writes verdict->metrics where verdict->size says that there is no room");
  earlier.destroy();
  sheet_.note(Level::ok,
              "stands an end, an event that it does not know and structs that are "
              "larger than it knows");
}

void Trial::live_and_die() {
  sheet_.enter("instances");
  const auto began = steady_clock::now();
  const bool exits = declaration_->descriptor().kind == SUPV_EXIT;
  const auto live = [&](int polls) {
    Subject subject(*watch_, options_);
    if (!subject.create()) throw BadPlugin("it refuses now what it took before: " + subject.why());
    for (int i = 0; i < polls && !exits; ++i) subject.tick();
    if (exits && polls > 0) subject.end(0, 0);
    subject.destroy();
  };
  const auto grow = [&](int instances, int polls) {
    for (int i = 0; i < 20 && !over(began); ++i) live(polls);
    Growth bytes;
    for (int i = 0; i < instances && !over(began); ++i) {
      if (i % (instances / 4) == 0) bytes.sample(allocated_bytes());
      live(polls);
    }
    bytes.sample(allocated_bytes());
    return bytes.complete() && !over(began)
               ? bytes.least() / static_cast<std::size_t>(instances / 4)
               : 0;
  };
  live(kPolls);
  const int descriptors = open_descriptors();
  const int threads = live_threads();
  const std::size_t each = grow(200, kPolls);
  const std::size_t empty = grow(200, 0);
  if (empty > 0) sheet_.note(Level::wrong, fmt::format("leaks {} bytes with each instance", empty));
  if (each > empty)
    sheet_.note(Level::wrong,
                fmt::format("leaks {} bytes with each {}", (each - empty) / (exits ? 1 : kPolls),
                            exits ? "end" : "poll"));
  if (over(began))
    return sheet_.note(Level::warning,
                       fmt::format("too slow to look for leaks: 440 instances take longer than "
                                   "{} ms",
                                   check_.patience.count()));
  const int left = open_descriptors() - descriptors;
  if (left >= 200)
    sheet_.note(Level::wrong,
                fmt::format("leaves {} descriptor(s) open with each instance", left / 200));
  const int running = live_threads() - threads;
  if (running >= 200)
    sheet_.note(Level::wrong, fmt::format("leaves {} thread(s) with each instance", running / 200));
  if (empty == 0 && each == 0 && left < 200 && running < 200)
    sheet_.note(Level::ok, "440 instances leave no memory, descriptor, thread or process behind");
}

}  // namespace supv
