#include "config/reader.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace supv {
namespace {

constexpr std::size_t kNoSuggestionFrom = 50;

bool is_old_boolean(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text == "yes" || text == "no" || text == "on" || text == "off" || text == "true" ||
         text == "false" || text == "y" || text == "n";
}

/// A value as it may stand in a message: short.
std::string shown(const Node& node) {
  constexpr std::size_t kMost = 60;
  if (node.text.size() <= kMost) return node.text;
  std::size_t cut = kMost;
  while ((static_cast<unsigned char>(node.text[cut]) & 0xC0U) == 0x80U) --cut;
  return node.text.substr(0, cut) + "…";
}

std::string duration_help(std::string_view text) {
  const auto number = parse_unsigned(text);
  if (number && *number < 1'000'000) return fmt::format("write {}s for {} seconds", text, text);
  return "a number and a unit: 500ms 5s 2m 1h30m 2d";
}

}  // namespace

void Reader::error(const Node& node, std::string text, std::string help) {
  if (!first_time(node, text)) return;
  report_.error(node.place(), std::move(text), std::move(help));
}

bool Reader::first_time(const Node& node, std::string_view text) {
  const std::size_t place = std::hash<const Node*>()(&node);
  return said_.insert(std::hash<std::string_view>()(text) * 31 + place).second;
}

void Reader::unknown(const Node& node, std::string text, std::string_view word,
                     const std::vector<std::string_view>& known) {
  if (!first_time(node, text)) return;
  std::string_view near;
  if (word.size() < kNoSuggestionFrom) near = nearest_word(word, known);
  report_.error(node.place(), std::move(text),
                near.empty() ? "" : fmt::format("did you mean '{}'?", near));
}

void Reader::warning(const Node& node, std::string text, std::string help) {
  if (!first_time(node, text)) return;
  report_.warning(node.place(), std::move(text), std::move(help));
}

bool Reader::require(const Node& node, Node::Kind kind, std::string_view what) {
  if (node.kind == kind) return true;
  error(node, fmt::format("this must be {}, not {}", what, kind_name(node.kind)));
  return false;
}

std::optional<std::string> Reader::text(const Node& node) {
  if (!require(node, Node::Kind::scalar, "text")) return std::nullopt;
  return expander_.expand(node);
}

void Reader::text(const Node& node, std::string& out) {
  auto value = text(node);
  if (!value) return;
  if (value->empty()) {
    error(node, "this text is empty");
    return;
  }
  out = std::move(*value);
}

std::optional<std::string> Reader::plain(const Node& node, std::string_view what) {
  if (!require(node, Node::Kind::scalar, what)) return std::nullopt;
  auto value = expander_.expand(node);
  // Something put together by interpolation needs quotes in a flow map, so it may have them.
  if (value && node.quoted && *value == node.text) {
    error(node, fmt::format("this must be {}, not quoted text", what), "remove the quotes");
    return std::nullopt;
  }
  return value;
}

void Reader::boolean(const Node& node, bool& out) {
  const auto value = plain(node, "true or false");
  if (!value) return;
  if (*value == "true" || *value == "false") {
    out = *value == "true";
    return;
  }
  error(node, fmt::format("'{}' is not true or false", shown(node)),
        is_old_boolean(*value) ? "write true or false: YAML 1.2 has no other spelling" : "");
}

void Reader::duration(const Node& node, Duration& out, Duration least) {
  if (!require(node, Node::Kind::scalar, "a duration")) return;
  const auto value = expander_.expand(node);
  if (!value) return;
  const auto parsed = parse_duration(*value);
  if (!parsed) {
    error(node, fmt::format("'{}' is not a duration", shown(node)), duration_help(*value));
  } else if (*parsed < least) {
    error(node, fmt::format("{} is too short: at least {}", shown(node), format_duration(least)));
  } else {
    out = *parsed;
  }
}

void Reader::percent(const Node& node, double& out, double most) {
  if (!require(node, Node::Kind::scalar, "a percentage")) return;
  const auto value = expander_.expand(node);
  if (!value) return;
  const auto parsed = parse_percent(*value);
  if (!parsed) {
    error(node, fmt::format("'{}' is not a percentage", shown(node)), "write it like 50%");
  } else if (*parsed > most) {
    error(node, fmt::format("{} is too much: at most {}%", shown(node), most));
  } else {
    out = *parsed;
  }
}

void Reader::number(const Node& node, double& out, double least) {
  const auto value = plain(node, "a number");
  if (!value) return;
  double parsed = 0;
  const char* end = value->data() + value->size();
  const auto result = std::from_chars(value->data(), end, parsed, std::chars_format::fixed);
  // from_chars also reads "inf" and "nan".
  if (result.ec != std::errc() || result.ptr != end || !(parsed <= 1e6)) {
    error(node, fmt::format("'{}' is not a number", shown(node)));
  } else if (parsed < least) {
    error(node, fmt::format("{} is too small: at least {}", shown(node), least));
  } else {
    out = parsed;
  }
}

void Reader::integer(const Node& node, std::uint32_t& out, std::uint32_t least,
                     std::uint32_t most) {
  const auto value = plain(node, "a whole number");
  if (!value) return;
  const auto parsed = parse_unsigned(*value);
  if (!parsed) {
    error(node, fmt::format("'{}' is not a whole number", shown(node)));
  } else if (*parsed < least || *parsed > most) {
    error(node, fmt::format("{} is not between {} and {}", shown(node), least, most));
  } else {
    out = static_cast<std::uint32_t>(*parsed);
  }
}

void Reader::octal(const Node& node, std::optional<std::uint32_t>& out) {
  if (!require(node, Node::Kind::scalar, "a quoted octal number")) return;
  const auto value = expander_.expand(node);
  if (!value) return;
  const auto parsed = parse_octal(*value);
  if (!parsed) {
    error(node, fmt::format("'{}' is not an octal number", shown(node)), "write it like \"0022\"");
  } else if (!node.quoted) {
    error(node, "an octal number must be quoted", fmt::format("write \"{}\"", node.text));
  } else {
    out = *parsed;
  }
}

void Reader::signal(const Node& node, int& out) {
  const auto value = text(node);
  if (!value) return;
  if (const auto number = parse_signal(*value)) {
    out = *number;
    return;
  }
  unknown(node, fmt::format("'{}' is not a signal", shown(node)), *value, signal_names());
}

std::optional<std::size_t> Reader::choice(const Node& node, std::string_view choices) {
  const auto value = text(node);
  if (!value) return std::nullopt;
  const auto words = split_choices(choices);
  const auto found = std::find(words.begin(), words.end(), *value);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  const std::string_view near = nearest_word(*value, words);
  error(node, fmt::format("'{}' is not one of {}", shown(node), fmt::join(words, ", ")),
        near.empty() ? "" : fmt::format("did you mean '{}'?", near));
  return std::nullopt;
}

void Reader::texts(const Node& node, std::vector<std::string>& out) {
  if (node.is_scalar()) {
    std::string one;
    text(node, one);
    if (!one.empty()) out.push_back(std::move(one));
    return;
  }
  if (!require(node, Node::Kind::list, "text or a list of texts")) return;
  for (const Node* item : node.items) {
    if (report_.full()) return;
    std::string one;
    text(*item, one);
    if (!one.empty()) out.push_back(std::move(one));
  }
}

void Reader::text_map(const Node& node, std::vector<std::pair<std::string, std::string>>& out) {
  if (!require(node, Node::Kind::map, "a map of names to texts")) return;
  for (const Entry& entry : node.entries) {
    if (report_.full()) return;
    const std::string& name = entry.key->text;
    if (name.empty() || name.find('=') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      error(*entry.key, "a name here is not empty and contains no '='");
      continue;
    }
    // Values are taken as written, so `NAME: null` is the text "null" and `NAME:` is empty.
    if (entry.value->kind == Node::Kind::null) {
      out.emplace_back(name, entry.value->text);
    } else if (auto value = text(*entry.value)) {
      out.emplace_back(name, std::move(*value));
    }
  }
}

void Reader::times(const Node& node, TimesSpec& out) {
  constexpr std::uint32_t kMost = 64;
  std::uint32_t fires = 0;
  std::uint32_t of = 0;
  if (node.is_list()) {
    if (node.items.size() != 2) {
      error(node, "'times' as a list is [N, M]: N of the last M");
      return;
    }
    integer(*node.items[0], fires, 1, kMost);
    integer(*node.items[1], of, 1, kMost);
    if (fires > of && of > 0) error(node, fmt::format("{} of the last {} can never be", fires, of));
  } else {
    integer(node, fires, 1, kMost);
    of = fires;
  }
  if (fires == 0 || fires > of) return;
  out = {static_cast<std::uint8_t>(fires), static_cast<std::uint8_t>(of)};
}

Fields::Fields(Reader& reader, const Node& map, const Level& level) : map_(map) {
  for (const Entry& entry : map.entries) {
    const std::string& name = entry.key->text;
    const bool known = std::any_of(level.keys.begin(), level.keys.end(),
                                   [&name](const Key& key) { return key.name == name; });
    if (!known) {
      reader.unknown(*entry.key, fmt::format("unknown key '{}' of {}", name, level.name), name,
                     key_names(level));
    } else if (entry.value->is_empty()) {
      reader.error(*entry.key, fmt::format("'{}' has no value", name));
    }
    if (reader.report().full()) return;
  }
}

const Node* Fields::find(std::string_view key) const {
  const Node* value = map_.find(key);
  return value == nullptr || value->kind == Node::Kind::null ? nullptr : value;
}

bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  });
}

}  // namespace supv
