#include "app/supvctl_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "app/supvctl_table.h"
#include "base/text.h"

namespace supv::ctl {
namespace {

constexpr Duration kWorthShowing{300};  // What is done at once needs no line.

bool terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

}  // namespace

ProgressLine::ProgressLine(std::string what, bool quiet)
    : what_(std::move(what)), live_(!quiet && terminal()) {}

void ProgressLine::show(const std::string& text, Duration passed,
                        std::optional<Duration> expected) {
  if (!live_ || passed < kWorthShowing) return;
  const double seconds = static_cast<double>(passed.count()) / 1000;
  fmt::print(stderr, "\r\033[K{}{}{}  {}{}", printable(what_), text.empty() ? "" : ": ",
             printable(text), brief_duration(seconds),
             expected
                 ? " of at most " + brief_duration(static_cast<double>(expected->count()) / 1000)
                 : "");
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace supv::ctl
