#pragma once

#include <supv/condition.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "plugin/check_host.h"
#include "plugin/check_sheet.h"

namespace supv {

/// There is no point in going on: the sheet says why.
struct TrialOver {};

/// What all calls into one plugin have in common: who is watching, and what was said already.
class CallWatch {
 public:
  CallWatch(Sheet& sheet, const supv_condition_descriptor& descriptor);

  Sheet& sheet() { return sheet_; }
  const supv_condition_descriptor& descriptor() const { return descriptor_; }
  bool waits() const { return (descriptor_.flags & SUPV_WAITS) != 0; }

  /// Notes it once; `kind` tells findings apart whose texts differ.
  void once(Finding::Level level, const char* kind, std::string_view text);

  /// A copy of at most `most` bytes of a text of the plugin, until the next one. It takes no memory
  /// that the plugin might have freed.
  std::string_view copy(const char* text, std::size_t most);

  void before(Spot spot);
  /// Looks at what the call has done to this process; throws TrialOver when it cannot go on.
  void after(const char* function);
  /// The same before any call was made: what the constructors have done.
  void after_loading();

  /// Time spent in calls since the last take_times().
  struct Times {
    std::chrono::nanoseconds sum{0};
    std::chrono::nanoseconds longest{0};
    std::uint64_t calls = 0;
  };
  Times take_times();

 private:
  void look(const char* where);

  Sheet& sheet_;
  const supv_condition_descriptor& descriptor_;
  std::set<std::string, std::less<>> said_;
  std::string copied_;
  int self_;
  std::uint32_t calls_ = 0;
  std::int64_t began_ns_ = 0;
  std::int64_t cpu_ns_ = 0;
  long slept_ = 0;
  Times times_;
};

/// One instance of the condition.
class Subject {
 public:
  /// `longer`: the structs that it is given are larger than it can know.
  Subject(CallWatch& watch, const PluginOptions& options, bool longer = false);
  /// Does not destroy the instance: after TrialOver it may be in any state.
  ~Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  /// What it says may be as odd as the options that it was given.
  void forgive_texts() { forgiving_ = true; }
  /// False: it was refused, why() says why.
  bool create();
  const std::string& why() const { return why_; }
  /// A second later: asked, and given all answers that it asks for.
  supv_outcome tick();
  supv_outcome end(int code, int signal);
  supv_outcome tell_unknown_event(int kind);
  /// As supvd before there were metrics would ask. False: it wrote where it has no room.
  bool tick_without_metrics();
  void destroy();

 private:
  supv_outcome answer_all(supv_outcome outcome);
  supv_outcome call(Spot spot, supv_event event);
  void judge(const supv_verdict& verdict);
  void judge_reason(const char* reason);
  void judge_metrics(const char* metrics);

  CallWatch& watch_;
  FakeHost host_;
  Edge event_;
  Edge verdict_;
  void* self_ = nullptr;
  bool forgiving_ = false;
  std::string why_;
};

/// Bytes that are allocated in this process.
std::size_t allocated_bytes();
/// Open descriptors, and threads; -1 when they cannot be counted.
int open_descriptors();
int live_threads();

/// From now on memory that runs out is noted there.
void note_last_words(Sheet& sheet);
/// Notes what has just become of the plugin, with the call that it happened in, and ends the
/// process.
[[noreturn]] void leave_with_last_words(const char* text);

}  // namespace supv
