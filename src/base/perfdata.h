#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supv {

/// One value that a condition measured (supv_verdict.metrics, the perfdata of monitoring plugins).
struct Metric {
  std::string label;            ///< Printable.
  std::optional<double> value;  ///< Finite; empty: it could not be found out ("U").
  std::string unit;             ///< As written: "", "s", "ms", "us", "%", "B", "KB", ..., "c"
  std::string warn;             ///< A range such as "10:20" or "@~:5"; empty: none.
  std::string crit;
  std::optional<double> min;
  std::optional<double> max;
  friend bool operator==(const Metric&, const Metric&) = default;
};

/// More are not read from one text.
inline constexpr std::size_t kMostMetrics = 64;

/// Reads 'label'=value[unit];[warn];[crit];[min];[max], separated by blanks or ends of lines. What
/// cannot be read is left out: a whole metric without a label or a value, else only the field.
/// `error`, if not null, then says the first such thing in one line; else it is left as it is.
std::vector<Metric> parse_perfdata(std::string_view text, std::string* error = nullptr);

/// For people: "/=73%", "load1=0.52", "rss=120 MB", "'free space'=1.5GiB", "queue=?" for one that
/// could not be found out.
std::string metric_text(const Metric& metric);

}  // namespace supv
