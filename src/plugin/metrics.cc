#include "plugin/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace supv {
namespace {

constexpr std::size_t kMostMetrics = 64;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// A number at the start of `text`, which loses it.
std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  std::string_view digits = text;
  if (!digits.empty() && digits.front() == '+') digits.remove_prefix(1);
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

std::optional<double> number_or_nothing(std::string_view text, bool& good) {
  if (text.empty()) return std::nullopt;
  const auto value = take_number(text);
  good = good && value && text.empty();
  return value;
}

bool is_unit(std::string_view text) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' ||
           static_cast<unsigned char>(c) >= 0x80;
  };
  return text == "%" || (text.size() <= 16 && std::all_of(text.begin(), text.end(), letter));
}

bool read_values(std::string_view text, Metric& metric) {
  std::string_view value = take_field(text);
  bool good = true;
  if (value != "U") {
    metric.value = take_number(value);
    good = metric.value && is_unit(value);
    metric.unit = value;
  }
  metric.warn = take_field(text);
  metric.crit = take_field(text);
  metric.min = number_or_nothing(take_field(text), good);
  metric.max = number_or_nothing(take_field(text), good);
  return good && is_range(metric.warn) && is_range(metric.crit) && text.empty();
}

}  // namespace

std::vector<Metric> parse_metrics(std::string_view text, std::string& error) {
  std::vector<Metric> metrics;
  const auto complain = [&](std::string_view about) {
    if (error.empty())
      error = fmt::format("'{}' is not label=value[unit];warn;crit;min;max",
                          printable(about.substr(0, 64)));
  };
  for (;;) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    if (text.empty() || metrics.size() == kMostMetrics) break;
    const std::string_view whole = text.substr(0, text.find(' '));
    Metric metric;
    const bool labelled = take_label(text, metric.label);
    const std::size_t end =
        static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_blank) - text.begin());
    if (labelled && read_values(text.substr(0, end), metric)) {
      metrics.push_back(std::move(metric));
    } else {
      complain(whole);
    }
    text.remove_prefix(end);
  }
  if (!text.empty()) complain(text);
  return metrics;
}

}  // namespace supv
