#include <fmt/core.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "app/import_god_parts.h"
#include "base/units.h"

namespace supv::import_god {
namespace {

bool is_number(const Value& value) { return value.is(Value::Kind::number) && value.number >= 0; }

std::string number_text(double number) {
  if (number == std::floor(number) && number < 1e15) return fmt::format("{:.0f}", number);
  return fmt::format("{}", number);
}

}  // namespace

const Value& attribute(const Attributes& attributes, std::string_view name) {
  static const Value nothing;
  for (const auto& [key, value] : attributes) {
    if (key == name) return value;
  }
  return nothing;
}

Spot RecordedWatch::where(std::string_view name) const {
  for (const auto& [attribute_name, line] : lines) {
    if (attribute_name == name) return {spot.file, line};
  }
  return spot;
}

std::optional<Yaml> duration(const Value& value) {
  if (!is_number(value) || value.number > 1e9) return std::nullopt;
  const auto ms = static_cast<std::int64_t>(std::llround(value.number * 1000));
  return word(format_duration(Duration{ms}));
}

std::optional<Yaml> size(const Value& value) {
  if (!is_number(value)) return std::nullopt;
  constexpr double kStep = 1024;
  for (const auto& [unit, factor] : {std::pair{"GB", kStep * kStep}, {"MB", kStep}}) {
    const double amount = value.number / factor;
    if (amount >= 1 && amount == std::floor(amount)) {
      return word(fmt::format("{:.0f}{}", amount, unit));
    }
  }
  return word(fmt::format("{:.0f}KB", std::round(value.number)));
}

std::optional<Yaml> percent(const Value& value) {
  if (!is_number(value)) return std::nullopt;
  return word(number_text(value.number) + "%");
}

std::optional<Yaml> integer(const Value& value) {
  if (!is_number(value) || value.number != std::floor(value.number)) return std::nullopt;
  return word(number_text(value.number));
}

std::optional<Yaml> times(const Value& value) {
  if (!value.is(Value::Kind::list)) {
    const auto count = integer(value);
    return count && count->text != "1" ? count : std::nullopt;
  }
  if (value.items.size() != 2) return std::nullopt;
  const auto least = integer(value.items[0]);
  const auto of = integer(value.items[1]);
  if (!least || !of) return std::nullopt;
  if (least->text != of->text) return list({*least, *of});
  return least->text == "1" ? std::nullopt : least;
}

std::string text_of(const Value& value) {
  if (value.is_word()) return value.text;
  return value.is(Value::Kind::number) ? number_text(value.number) : std::string();
}

std::string valid_watch_name(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  std::string out;
  for (const char c : name.substr(0, kLongest)) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '.' || c == '-';
    out += fits ? c : '-';
  }
  if (out.empty() || out.front() == '.' || out.front() == '-') out = "w" + out;
  return out.substr(0, kLongest);
}

std::string place_text(const Spot& spot) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path near = fs::path(spot.file).lexically_relative(fs::current_path(error));
  const bool below = !error && !near.empty() && *near.begin() != "..";
  const std::string file = below ? near.string() : spot.file;
  return spot.line == 0 ? file : fmt::format("{}:{}", file, spot.line);
}

void Notes::add(Note::Kind kind, const Spot& spot, std::string text) {
  const std::string mark =
      fmt::format("{} {}:{} {}", static_cast<int>(kind), spot.file, spot.line, text);
  if (said_.insert(mark).second) notes_.push_back({kind, watch_, std::move(text), spot});
}

void Notes::changed(const Spot& spot, std::string text) {
  if (said_.insert("changed " + text).second) add(Note::Kind::changed, spot, std::move(text));
}

std::vector<Note> Notes::take() { return std::move(notes_); }

}  // namespace supv::import_god
