#include "plugin/check_subject.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/perfdata.h"
#include "base/text.h"
#include "base/units.h"

namespace supv {
namespace {

using Level = Finding::Level;

constexpr std::size_t kErrorRoom = 256;
constexpr char kCanary = '\x5A';
constexpr std::size_t kMostReason = 1024;
constexpr std::size_t kMostText = 16 * std::size_t{1024};
constexpr int kMostAnswers = 16;
constexpr std::size_t kAppended = 64;

/// Runs a call of the plugin, which must not let an exception out.
template <typename Call>
auto guarded(Call call) {
  try {
    return call();
  } catch (...) {
    // It may be of another C++ library than ours: nothing is done with it.
    leave_with_last_words("throws an exception through the C interface");
  }
}

/// Writes over what lies where a function that has returned left it, and takes the memory that was
/// freed last, of each small size, until it ends.
class Stir {
 public:
  Stir() {
    volatile char stack[8192];
    for (std::size_t i = 0; i < sizeof stack; i += 8) stack[i] = kCanary;
    // Through a pointer that the compiler cannot know: else it leaves out what nobody reads.
    void* (*const volatile fill)(void*, int, std::size_t) = std::memset;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      // Up to seven that were freed before lie over the last one of a size.
      const std::size_t size = i < kDeep ? 8 + 16 * (i / 8) : 8 + 16 * (i - kDeep + kDeep / 8);
      blocks_[i] = std::malloc(size);
      if (blocks_[i] != nullptr) fill(blocks_[i], kCanary, size);
    }
  }
  ~Stir() {
    for (void* block : blocks_) std::free(block);
  }
  Stir(const Stir&) = delete;
  Stir& operator=(const Stir&) = delete;

 private:
  static constexpr std::size_t kDeep =
      std::size_t{16} * 8;  ///< Eight of each size up to 248 bytes.
  std::array<void*, kDeep + 48> blocks_{};
};

/// True if the text is still there after all that may happen between two calls.
bool lasts(const char* text, std::string_view copy) {
  const Stir stir;
  return std::string_view(text, ::strnlen(text, copy.size() + 1)) == copy;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
}

}  // namespace

Subject::Subject(CallWatch& watch, const PluginOptions& options, bool longer)
    : watch_(watch),
      host_(options, longer),
      event_(sizeof(supv_event) + kAppended),
      verdict_(sizeof(supv_verdict) + kAppended) {}

bool Subject::create() {
  std::array<char, kErrorRoom * 2> error;
  error.fill(kCanary);
  error[0] = '\0';
  watch_.before(Spot::create);
  self_ =
      guarded([&] { return watch_.descriptor().create(host_.host(), error.data(), kErrorRoom); });
  watch_.after("create");
  const bool overrun =
      std::any_of(error.begin() + kErrorRoom, error.end(), [](char c) { return c != kCanary; });
  if (overrun)
    watch_.once(Level::wrong, "overrun",
                fmt::format("create writes more than `room` ({}) bytes to `error`", kErrorRoom));
  host_.take_awaited();
  if (self_ != nullptr) return true;
  const std::size_t size = ::strnlen(error.data(), kErrorRoom);
  if (size == kErrorRoom)
    watch_.once(Level::wrong, "unterminated", "create leaves `error` without its final NUL");
  if (size == 0)
    watch_.once(Level::wrong, "unexplained", "create returns NULL and does not say why in `error`");
  why_ = printable({error.data(), std::min(size, kErrorRoom - 1)});
  return false;
}

supv_outcome Subject::tick() {
  host_.step();
  supv_event event{};
  event.kind = SUPV_TICK;
  return answer_all(call(Spot::tick, event));
}

supv_outcome Subject::end(int code, int signal) {
  host_.step();
  supv_event event{};
  event.kind = SUPV_ENDED;
  event.exit_code = code;
  event.exit_signal = signal;
  return answer_all(call(Spot::ended, event));
}

supv_outcome Subject::tell_unknown_event(int kind) {
  supv_event event{};
  event.kind = static_cast<supv_event_kind>(kind);
  return answer_all(call(Spot::unknown_event, event));
}

supv_outcome Subject::answer_all(supv_outcome outcome) {
  for (int round = 0; outcome == SUPV_PENDING; ++round) {
    const Awaited awaited = host_.take_awaited();
    if (awaited == Awaited::nothing) {
      if (!host_.take_concluded())
        watch_.once(Level::wrong, "pending",
                    "it answers SUPV_PENDING and has asked for nothing: supvd waits in vain");
      return SUPV_UNKNOWN;
    }
    if (round == kMostAnswers) {
      watch_.once(Level::warning, "asks",
                  fmt::format("after {} answers to one question it still asks for more", round));
      return SUPV_UNKNOWN;
    }
    supv_event event{};
    event.kind = SUPV_REPLY;
    event.reply = host_.reply(awaited);
    outcome = call(Spot::reply, event);
  }
  host_.take_awaited();
  return outcome;
}

supv_outcome Subject::call(Spot spot, supv_event event) {
  const std::size_t more = host_.longer() ? kAppended : 0;
  event.monotonic_ns = host_.monotonic_ns();
  event.wall_ns = host_.wall_ns();
  event.armed_wall_ns = host_.wall_ns() - (host_.monotonic_ns() - std::int64_t{1000'000'000'000});
  event.size = static_cast<std::uint32_t>(sizeof event + more);
  supv_verdict verdict{};
  verdict.size = static_cast<std::uint32_t>(sizeof verdict + more);
  verdict.outcome = SUPV_UNKNOWN;
  std::memset(event_.last(event.size), 0xA5, event.size);
  std::memset(verdict_.last(verdict.size), 0xA5, verdict.size);
  auto* given = new (event_.last(event.size)) supv_event(event);
  auto* said = new (verdict_.last(verdict.size)) supv_verdict(verdict);
  watch_.before(spot);
  guarded([&] { watch_.descriptor().on_event(self_, given, said); });
  watch_.after("on_event");
  if (!host_.foreign_path().empty())
    watch_.once(Level::warning, "path",
                fmt::format("it asks host->read for {}, which is neither below /proc nor /sys",
                            printable(host_.foreign_path())));
  watch_.sheet().at(Spot::verdict);
  judge(*said);
  return said->outcome;
}

bool Subject::tick_without_metrics() {
  constexpr std::size_t kKnown = offsetof(supv_verdict, metrics);
  host_.step();
  supv_event event{};
  event.size = sizeof event;
  event.monotonic_ns = host_.monotonic_ns();
  event.wall_ns = host_.wall_ns();
  auto* given = new (event_.last(sizeof event)) supv_event(event);
  supv_verdict verdict{};
  verdict.size = kKnown;
  verdict.outcome = SUPV_UNKNOWN;
  std::memset(&verdict.metrics, kCanary, sizeof verdict.metrics);
  const char* untouched = verdict.metrics;
  watch_.before(Spot::tick);
  guarded([&] { watch_.descriptor().on_event(self_, given, &verdict); });
  watch_.after("on_event");
  host_.take_awaited();
  return verdict.metrics == untouched;
}

void Subject::destroy() {
  if (self_ == nullptr) return;
  watch_.before(Spot::destroy);
  guarded([&] { watch_.descriptor().destroy(self_); });
  watch_.after("destroy");
  self_ = nullptr;
}

void Subject::judge(const supv_verdict& verdict) {
  const int outcome = static_cast<int>(verdict.outcome);
  if (outcome < SUPV_OK || outcome > SUPV_PENDING)
    watch_.once(Level::wrong, "outcome",
                fmt::format("it answers the outcome {}, which does not exist", outcome));
  if (forgiving_) return;
  if (verdict.reason != nullptr) judge_reason(verdict.reason);
  if (verdict.metrics != nullptr) judge_metrics(verdict.metrics);
}

void Subject::judge_reason(const char* reason) {
  const std::string_view said = watch_.copy(reason, kMostReason + 1);
  if (said.size() > kMostReason)
    return watch_.once(Level::wrong, "long",
                       fmt::format("a reason is longer than {} bytes, or has no end", kMostReason));
  if (!lasts(reason, said))
    return watch_.once(Level::wrong, "unstable",
                       "a reason changes after the call: it must live until the next call");
  if (has_control(said))
    watch_.once(Level::wrong, "control",
                fmt::format("a reason has control characters; it is one line of text: '{}'",
                            printable(said.substr(0, 80))));
}

void Subject::judge_metrics(const char* metrics) {
  const std::string_view said = watch_.copy(metrics, kMostText + 1);
  if (said.size() > kMostText)
    return watch_.once(Level::wrong, "metrics",
                       fmt::format("metrics are longer than {} bytes, or have no end", kMostText));
  if (!lasts(metrics, said))
    return watch_.once(Level::wrong, "unstable metrics",
                       "metrics change after the call: they must live until the next call");
  std::string error;
  parse_perfdata(said, &error);
  if (!error.empty()) watch_.once(Level::wrong, "metrics", "metrics cannot be read: " + error);
}

}  // namespace supv
