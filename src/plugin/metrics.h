#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supv {

/// One value of a verdict's metrics (supv_verdict.metrics, perfdata of monitoring plugins).
struct Metric {
  std::string label;
  std::optional<double> value;  ///< Empty: it could not be found out ("U").
  std::string unit;             ///< "", "s", "ms", "us", "%", "B", "KB", ..., "c"
  std::string warn;             ///< A range such as "10:20" or "@~:5"; empty: none.
  std::string crit;
  std::optional<double> min;
  std::optional<double> max;
};

/// Reads 'label'=value[unit];[warn];[crit];[min];[max], separated by blanks. What cannot be read is
/// left out, and `error` then says the first such thing in one line.
std::vector<Metric> parse_metrics(std::string_view text, std::string& error);

}  // namespace supv
