#pragma once

#include <optional>
#include <string>

#include "base/units.h"

namespace supv::ctl {

/// One line on a terminal that says what is awaited, and disappears. Elsewhere it does nothing.
class ProgressLine {
 public:
  /// `what` stands before the news: "restart sidekiq".
  ProgressLine(std::string what, bool quiet);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  void show(const std::string& text, Duration passed, std::optional<Duration> expected);
  void clear();

 private:
  std::string what_;
  bool live_;
  bool shown_ = false;
};

}  // namespace supv::ctl
