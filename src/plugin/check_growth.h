#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace supv {

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

/// "1 byte", "17 bytes".
inline std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace supv
