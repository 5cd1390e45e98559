#include "plugin/options.h"

#include <fmt/format.h>

#include <cmath>

#include "base/units.h"

namespace supv {
namespace {

std::string number_text(double value) {
  return std::floor(value) == value && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value)
                                                              : fmt::format("{}", value);
}

std::string_view first_choice(const supv_option& option) {
  const std::string_view choices = option.choices == nullptr ? "" : option.choices;
  return choices.substr(0, choices.find('|'));
}

}  // namespace

std::string base_units(supv_type type, const std::string& text) {
  switch (type) {
    case SUPV_SIZE:
      if (const auto bytes = parse_size(text)) return std::to_string(*bytes);
      break;
    case SUPV_DURATION:
      if (const auto duration = parse_duration(text)) return std::to_string(duration->count());
      break;
    case SUPV_PERCENT:
      if (const auto percent = parse_percent(text)) return number_text(*percent);
      break;
    case SUPV_TEXT:
    case SUPV_INTEGER:
    case SUPV_BOOLEAN:
    case SUPV_CHOICE:
    case SUPV_LIST:
      break;
  }
  return text;
}

bool reads_as(supv_type type, std::string_view text, std::string_view choices) {
  switch (type) {
    case SUPV_DURATION:
      return parse_duration(text).has_value();
    case SUPV_SIZE:
      return parse_size(text).has_value();
    case SUPV_PERCENT:
      return parse_percent(text).has_value();
    case SUPV_INTEGER:
      return !text.empty() && parse_unsigned(text.substr(text.front() == '-' ? 1 : 0)).has_value();
    case SUPV_BOOLEAN:
      return text == "true" || text == "false";
    case SUPV_CHOICE:
      return !text.empty() && text.find('|') == std::string_view::npos &&
             fmt::format("|{}|", choices).find(fmt::format("|{}|", text)) != std::string::npos;
    case SUPV_TEXT:
    case SUPV_LIST:
      return true;
  }
  return false;
}

std::string type_text(const supv_option& option) {
  switch (option.type) {
    case SUPV_TEXT:
      return "text";
    case SUPV_DURATION:
      return "a duration such as 5s";
    case SUPV_SIZE:
      return "a size such as 300MB";
    case SUPV_PERCENT:
      return "a percentage such as 50%";
    case SUPV_INTEGER:
      return "an integer";
    case SUPV_BOOLEAN:
      return "true or false";
    case SUPV_CHOICE:
      return fmt::format("one of {}", option.choices == nullptr ? "" : option.choices);
    case SUPV_LIST:
      return "text or a list";
  }
  return "text";
}

std::string sample_value(const supv_option& option) {
  switch (option.type) {
    case SUPV_DURATION:
      return "5s";
    case SUPV_SIZE:
      return "300MB";
    case SUPV_PERCENT:
      return "50%";
    case SUPV_INTEGER:
      return "3";
    case SUPV_BOOLEAN:
      return "true";
    case SUPV_CHOICE:
      return std::string(first_choice(option));
    case SUPV_TEXT:
    case SUPV_LIST:
      break;
  }
  return "sample";
}

}  // namespace supv
