#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "plugin/check_growth.h"
#include "plugin/check_trial.h"

namespace supv {
namespace {

using Level = Finding::Level;
using std::chrono::steady_clock;

constexpr int kPolls = 10;
constexpr int kInstances = 200;
constexpr int kFewInstances = 20;
/// Nothing that is allocated takes less.
constexpr std::size_t kSmallestBlock = 32;

}  // namespace

void Trial::live(int polls) {
  Subject subject(*watch_, options_);
  if (!subject.create()) throw BadPlugin("it refuses now what it took before: " + subject.why());
  const bool exits = declaration_->descriptor().kind == SUPV_EXIT;
  for (int i = 0; i < polls && !exits; ++i) subject.tick();
  if (exits && polls > 0) subject.end(0, 0);
  subject.destroy();
}

/// True: nothing but memory can be left behind.
bool Trial::leaves_nothing_open(steady_clock::time_point began) {
  live(1);
  const int descriptors = open_descriptors();
  const int threads = live_threads();
  for (int i = 0; i < kFewInstances && !over(began); ++i) live(1);
  const int open = open_descriptors();
  const int left = open - descriptors;
  const int running = live_threads() - threads;
  if (open < 0 || descriptors < 0)
    sheet_.note(Level::wrong, "has no descriptor left: it keeps them open");
  else if (left >= kFewInstances)
    sheet_.note(Level::wrong,
                fmt::format("leaves {} open with each instance",
                            counted(static_cast<std::size_t>(left / kFewInstances), "descriptor")));
  // Not every one may have got its thread: there is a limit.
  const bool leaves_threads = running >= kFewInstances / 2;
  if (leaves_threads)
    sheet_.note(Level::wrong,
                fmt::format("leaves {} with each instance",
                            counted(static_cast<std::size_t>(std::max(1, running / kFewInstances)),
                                    "thread")));
  return open >= 0 && left < kFewInstances && !leaves_threads;
}

/// Bytes that each of many instances with so many polls leaves behind; empty: no time to find out.
std::optional<std::size_t> Trial::leak(int polls, steady_clock::time_point began) {
  for (int i = 0; i < kFewInstances && !over(began); ++i) live(polls);
  Growth bytes;
  for (int i = 0; i < kInstances && !over(began); ++i) {
    if (i % (kInstances / 4) == 0) bytes.sample(allocated_bytes());
    live(polls);
  }
  bytes.sample(allocated_bytes());
  if (!bytes.complete() || over(began)) return std::nullopt;
  const std::size_t each = bytes.least() / (kInstances / 4);
  return each < kSmallestBlock ? 0 : each;
}

void Trial::live_and_die() {
  sheet_.enter("instances");
  const auto began = steady_clock::now();
  if (!leaves_nothing_open(began)) throw TrialOver{};
  const auto each = leak(kPolls, began);
  const auto empty = each ? leak(0, began) : std::nullopt;
  if (!each || !empty)
    return sheet_.note(Level::warning,
                       fmt::format("too slow to look for leaks: {} instances take "
                                   "longer than {}",
                                   2 * kInstances, format_duration(check_.patience)));
  const bool exits = declaration_->descriptor().kind == SUPV_EXIT;
  if (*empty > 0)
    sheet_.note(Level::wrong, fmt::format("leaks {} with each instance", counted(*empty, "byte")));
  if (*each >= *empty + kSmallestBlock)
    sheet_.note(Level::wrong, fmt::format("leaks {} with each {}",
                                          counted((*each - *empty) / (exits ? 1 : kPolls), "byte"),
                                          exits ? "end" : "poll"));
  if (*empty == 0 && *each == 0)
    sheet_.note(Level::ok, fmt::format("{} instances leave no memory, descriptor, thread or "
                                       "process behind",
                                       2 * kInstances));
}

}  // namespace supv
