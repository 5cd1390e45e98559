#include <fmt/core.h>

#include <charconv>
#include <span>

#include "config/condition_reader.h"
#include "plugin/options.h"

namespace supv {
namespace {

std::string decimal(double value) { return fmt::format("{}", value); }

}  // namespace

bool ConditionReader::read_options(const Node& name, const Node& parameters,
                                   const supv_condition_descriptor& kind, ConditionSpec& spec) {
  bool good = true;
  for (const supv_option& declared : std::span(kind.options, kind.option_count)) {
    const Node* node = parameters.find(declared.name);
    if (node != nullptr && node->kind != Node::Kind::null) {
      auto value = option(*node, declared);
      if (value) spec.options.emplace_back(declared.name, std::move(*value));
      good = good && value.has_value();
    } else if (declared.fallback != nullptr) {
      spec.options.emplace_back(declared.name, base_units(declared.type, declared.fallback));
    } else if (declared.required != 0) {
      reader_.error(name, fmt::format("{} needs '{}'", spec.name, declared.name));
      good = false;
    }
  }
  return good;
}

std::optional<std::string> ConditionReader::integer(const Node& node) {
  if (!reader_.require(node, Node::Kind::scalar, "a whole number")) return std::nullopt;
  const auto text = reader_.text(node);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto result = std::from_chars(text->data(), end, value);
  if (result.ec == std::errc() && result.ptr == end && !node.quoted) return std::to_string(value);
  reader_.error(node, fmt::format("'{}' is not a whole number", node.text),
                node.quoted ? "remove the quotes" : "");
  return std::nullopt;
}

std::optional<std::string> ConditionReader::option(const Node& node, const supv_option& declared) {
  constexpr double kMostPercent = 1e6;
  switch (declared.type) {
    case SUPV_TEXT:
      return reader_.text(node);
    case SUPV_DURATION: {
      Duration value{-1};
      reader_.duration(node, value);
      if (value.count() < 0) return std::nullopt;
      return std::to_string(value.count());
    }
    case SUPV_SIZE: {
      const auto text = reader_.text(node);
      if (!text) return std::nullopt;
      if (const auto bytes = parse_size(*text)) return std::to_string(*bytes);
      reader_.error(node, fmt::format("'{}' is not a size", node.text), "write it like 300MB");
      return std::nullopt;
    }
    case SUPV_PERCENT: {
      double value = -1;
      reader_.percent(node, value, kMostPercent);
      if (value < 0) return std::nullopt;
      return decimal(value);
    }
    case SUPV_INTEGER:
      return integer(node);
    case SUPV_BOOLEAN: {
      const std::size_t before = reader_.report().errors();
      bool value = false;
      reader_.boolean(node, value);
      if (reader_.report().errors() != before) return std::nullopt;
      return value ? "true" : "false";
    }
    case SUPV_CHOICE: {
      const auto words = split_choices(declared.choices == nullptr ? "" : declared.choices);
      const auto index = reader_.choice(node, declared.choices == nullptr ? "" : declared.choices);
      if (!index) return std::nullopt;
      return std::string(words[*index]);
    }
    case SUPV_LIST: {
      const std::size_t before = reader_.report().errors();
      std::vector<std::string> values;
      reader_.texts(node, values);
      std::string joined;
      for (const std::string& value : values) {
        if (value.find('\n') != std::string::npos) {
          reader_.error(node, "an item of this list cannot contain a line break");
        }
        if (!joined.empty()) joined += '\n';
        joined += value;
      }
      if (reader_.report().errors() != before) return std::nullopt;
      return joined;
    }
  }
  return std::nullopt;
}

}  // namespace supv
