#include "plugin/check_trial.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "base/text.h"
#include "base/units.h"
#include "plugin/check_growth.h"
#include "plugin/options.h"

namespace supv {
namespace {

using Level = Finding::Level;
using std::chrono::steady_clock;

constexpr int kTicks = 1000;
constexpr int kWarmUp = 200;
constexpr int kPolls = 10;
constexpr std::chrono::nanoseconds kOften{1'000'000};

std::string time_text(std::chrono::nanoseconds time) {
  const auto ns = static_cast<double>(time.count());
  return ns < 1e6 ? fmt::format("{:.1f} us", ns / 1e3) : fmt::format("{:.0f} ms", ns / 1e6);
}

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
    if (declaration_->descriptor().kind == SUPV_EXIT) {
      tell_endings();
    } else {
      tick();
    }
    tell_odd_events();
    live_and_die();
    try_values();
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
    sheet_.note(Level::wrong, subject.why().empty()
                                  ? "it refuses its options"
                                  : "it refuses its options: " + subject.why().substr(0, 120));
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
  subject.forgive_texts();
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
    if (ticks % 5 == 0 && ticks >= 5 && ticks <= 25) {
      descriptors.sample(static_cast<std::size_t>(open_descriptors()));
      threads.sample(static_cast<std::size_t>(live_threads()));
      if (descriptors.least() >= 5 || threads.least() >= 5) break;
    }
    const auto outcome = static_cast<unsigned>(subject.tick());
    if (outcome < outcomes.size()) ++outcomes[outcome];
  }
  bytes.sample(allocated_bytes());
  const CallWatch::Times times = watch_->take_times();
  subject.destroy();
  if (descriptors.least() >= 5)
    sheet_.note(Level::wrong, fmt::format("opens {} with each poll and keeps {}",
                                          counted(descriptors.least() / 5, "descriptor"),
                                          descriptors.least() < 10 ? "it" : "them"));
  if (threads.least() >= 5)
    sheet_.note(Level::wrong,
                fmt::format("starts {} with each poll", counted(threads.least() / 5, "thread")));
  if (const std::size_t least = bytes.least(); least >= 200)
    sheet_.note(Level::warning,
                fmt::format("needs {} bytes more with each poll of one run, and has no limit in "
                            "{} polls",
                            least / 200, kTicks));
  sheet_.note(Level::ok,
              fmt::format("asked {} times: {} ok, {} fire, {} unknown", ticks, outcomes[SUPV_OK],
                          outcomes[SUPV_FIRE], outcomes[SUPV_UNKNOWN]));
  if (ticks < kTicks && over(began))
    sheet_.note(Level::warning, fmt::format("only {} of {} polls in {}", ticks, kTicks,
                                            format_duration(check_.patience)));
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
  const std::string text = fmt::format("a {} takes {}, the longest {}", what, time_text(average),
                                       time_text(times.longest));
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

}  // namespace supv
