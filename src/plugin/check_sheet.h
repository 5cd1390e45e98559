#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/check.h"

namespace supv {

/// What is being called in a plugin, so that it is known when the call never comes back.
enum class Spot : std::uint8_t {
  nothing,
  constructors,
  descriptor,
  create,
  tick,
  ended,
  reply,
  unknown_event,
  verdict,
  destroy
};

/// What a plugin's check has found, in memory that it shares with the process that watches it: it
/// outlives a crash and needs no descriptor, which a plugin could close. The plugin can damage it:
/// the reader believes nothing.
class Sheet {
 public:
  Sheet();
  ~Sheet();
  Sheet(const Sheet&) = delete;
  Sheet& operator=(const Sheet&) = delete;

  // --- the child's side ---
  /// The stage that findings belong to from now on; a literal.
  void enter(const char* stage);
  void note(Finding::Level level, std::string_view text);
  void declare(std::string_view packed);
  /// Before and after each call.
  void at(Spot spot, std::uint32_t number = 0);
  /// Everything was tried, or the rest is not worth trying: how the child ends says nothing.
  void finish();

  // --- the watching side ---
  std::chrono::nanoseconds since_last_beat() const;
  bool finished() const { return shared_->finished; }
  std::string stage() const;
  /// "create", "on_event(SUPV_TICK), call 17".
  std::string spot() const;
  std::vector<Finding> findings() const;
  std::string declaration() const;
  /// How many bytes were printed, for both sides.
  std::atomic<std::uint64_t>& printed() { return shared_->printed; }

 private:
  static constexpr std::size_t kRoom = std::size_t{256} * 1024;
  struct Shared {
    std::atomic<std::int64_t> beat_ns;
    std::atomic<std::uint64_t> printed;
    std::atomic<Spot> spot;
    std::atomic<std::uint32_t> number;
    std::atomic<bool> finished;
    std::atomic<std::uint32_t> noted;
    std::atomic<std::uint32_t> declared;
    char stage[16];
    char notes[kRoom];
    char declaration[kRoom * 4];
  };
  Shared* shared_;
};

}  // namespace supv
