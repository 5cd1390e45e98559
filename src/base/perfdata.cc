#include "base/perfdata.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "base/units.h"

namespace supv {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// A number at the start of `text`, which loses it.
std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  std::string_view digits = text;
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool is_number(std::string_view text) { return take_number(text).has_value() && text.empty(); }

/// [@][start:][end], where start may be "~".
bool is_range(std::string_view text) {
  if (text.empty()) return true;
  if (text.front() == '@') text.remove_prefix(1);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return is_number(text);
  const std::string_view start = text.substr(0, colon);
  const std::string_view end = text.substr(colon + 1);
  if (start.empty() && end.empty()) return false;
  return (start.empty() || start == "~" || is_number(start)) && (end.empty() || is_number(end));
}

/// The part up to the next separator, which `text` loses with it.
std::string_view take_field(std::string_view& text) {
  const std::size_t end = std::min(text.find(';'), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

/// 'a label' or label, and its '='. False: there is none.
bool take_label(std::string_view& text, std::string& label) {
  std::size_t at = 0;
  if (text.front() == '\'') {
    for (at = 1; at < text.size(); ++at) {
      if (text[at] == '\'' && (at + 1 == text.size() || text[at + 1] != '\'')) break;
      if (text[at] == '\'') ++at;
      label += text[at];
    }
    ++at;
  } else {
    while (at < text.size() && text[at] != '=' && !is_blank(text[at])) label += text[at++];
  }
  if (label.empty() || at >= text.size() || text[at] != '=') return false;
  text.remove_prefix(at + 1);
  return true;
}

std::optional<double> take_limit(std::string_view& text, bool& good) {
  std::string_view field = take_field(text);
  if (field.empty()) return std::nullopt;
  const auto limit = take_number(field);
  if (limit && field.empty()) return limit;
  good = false;
  return std::nullopt;
}

std::string take_range(std::string_view& text, bool& good) {
  const std::string_view field = take_field(text);
  if (is_range(field)) return std::string(field);
  good = false;
  return {};
}

bool is_unit(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' ||
           static_cast<unsigned char>(c) >= 0x80;
  };
  return text == "%" || (text.size() <= 16 && std::all_of(text.begin(), text.end(), letter));
}

/// False: there is no value. `good` becomes false when a further field cannot be read.
bool read_values(std::string_view text, Metric& metric, bool& good) {
  std::string_view value = take_field(text);
  if (value != "U") {
    metric.value = take_number(value);
    if (!metric.value || !is_unit(value)) return false;
    metric.unit = printable(value);
  }
  metric.warn = take_range(text, good);
  metric.crit = take_range(text, good);
  metric.min = take_limit(text, good);
  metric.max = take_limit(text, good);
  good = good && text.empty();
  return true;
}

std::string number_text(double value) {
  const bool whole = std::abs(value) < 1e15 && value == std::floor(value);
  if (whole) return fmt::format("{:.0f}", value == 0 ? 0 : value);
  const bool large = std::abs(value) >= 1000 && std::abs(value) < 1e15;
  return large ? fmt::format("{:.1f}", value) : fmt::format("{:.4g}", value);
}

}  // namespace

std::vector<Metric> parse_perfdata(std::string_view text, std::string* error) {
  std::vector<Metric> metrics;
  const auto complain = [&](std::string_view about) {
    if (error != nullptr && error->empty())
      *error = fmt::format("'{}' is not label=value[unit];warn;crit;min;max",
                           printable(about.substr(0, 64)));
  };
  for (;;) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (text.empty() || metrics.size() == kMostMetrics) break;
    const std::string_view whole = text.substr(0, text.find(' '));
    Metric metric;
    const bool labelled = take_label(text, metric.label);
    const auto end =
        static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_blank) - text.begin());
    bool good = true;
    if (labelled && read_values(text.substr(0, end), metric, good)) {
      metric.label = printable(metric.label);
      metrics.push_back(std::move(metric));
    } else {
      good = false;
    }
    if (!good) complain(whole);
    text.remove_prefix(end);
  }
  if (!text.empty()) complain(text);
  return metrics;
}

std::string metric_text(const Metric& metric) {
  const bool quoted = metric.label.find(' ') != std::string::npos;
  const std::string label = quoted ? fmt::format("'{}'", metric.label) : metric.label;
  if (!metric.value) return label + "=?";
  const double value = *metric.value;
  // What is counted in bytes is as large as it gets.
  if (metric.unit == "B" && value >= 0 && value < 1e18)
    return fmt::format("{}={}", label, format_size(static_cast<std::uint64_t>(value)));
  const bool bare = metric.unit.empty() || metric.unit == "c";
  const char* gap = bare || metric.unit == "%" ? "" : " ";
  return fmt::format("{}={}{}{}", label, number_text(value), gap, bare ? "" : metric.unit);
}

}  // namespace supv
