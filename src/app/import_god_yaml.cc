#include "app/import_god_yaml.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

namespace supv::import_god {
namespace {

constexpr std::size_t kColumns = 100;

/// The levels above this one are always blocks: top level and names of watches.
constexpr std::size_t kBlockLevels = 2;

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; }

bool looks_special(std::string_view text) {
  constexpr std::array kWords = {"true", "false", "null", "yes", "no", "on", "off", "~", "y", "n"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (std::find(kWords.begin(), kWords.end(), lower) != kWords.end()) return true;
  return text.find_first_not_of("0123456789+-.eExX_:") == std::string_view::npos;
}

bool plain_safe(const Yaml& scalar) {
  const std::string& text = scalar.text;
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=<").find(text.front()) != std::string_view::npos) {
    return false;
  }
  if (scalar.quoted && looks_special(text)) return false;
  if (text.find_first_of(",[]{}?\n\t") != std::string::npos) return false;
  if (std::any_of(text.begin(), text.end(), is_control)) return false;
  return text.find(": ") == std::string::npos && text.find(" #") == std::string::npos;
}

std::string double_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_control(c)) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string single_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + '\'';
}

std::string inline_scalar(const Yaml& scalar) {
  const std::string& text = scalar.text;
  if (plain_safe(scalar)) return text;
  const bool simple =
      text.find('\n') == std::string::npos && std::none_of(text.begin(), text.end(), is_control);
  if (simple && text.find_first_of("\"\\") != std::string::npos) return single_quoted(text);
  return double_quoted(text);
}

std::string key_text(const std::string& key) {
  Yaml scalar = literal(key);
  scalar.text = key;
  return inline_scalar(scalar);
}

/// A block scalar says the text as it is: several lines, none of which hides blanks.
bool fits_block(const std::string& text) {
  if (text.find('\n') == std::string::npos || text.front() == ' ' || text.front() == '\n') {
    return false;
  }
  return std::none_of(text.begin(), text.end(), is_control) &&
         text.find(" \n") == std::string::npos && text.back() != ' ';
}

/// A list of maps reads best as one item a line.
bool holds_conditions(const Yaml& node) {
  return node.kind == Yaml::Kind::list && !node.items.empty() &&
         node.items.front().kind == Yaml::Kind::map;
}

/// On one line; nothing when it has comments or several lines.
std::optional<std::string> inline_text(const Yaml& node) {
  if (!node.comment.empty()) return std::nullopt;
  if (node.kind == Yaml::Kind::scalar) {
    if (fits_block(node.text)) return std::nullopt;
    return inline_scalar(node);
  }
  const bool is_list = node.kind == Yaml::Kind::list;
  if (holds_conditions(node)) return std::nullopt;
  std::string out = is_list ? "[" : "{";
  const auto add = [&](const std::string& before, const Yaml& child) {
    const auto text = inline_text(child);
    if (!text) return false;
    if (out.size() > 1) out += ", ";
    out += before + *text;
    return true;
  };
  for (const Yaml& item : node.items) {
    if (!add("", item)) return std::nullopt;
  }
  for (const auto& [key, value] : node.entries) {
    if (!add(key_text(key) + ": ", value)) return std::nullopt;
  }
  return out + (is_list ? "]" : "}");
}

void append_comment(std::string& out, const std::string& comment, std::size_t indent) {
  std::string_view rest = comment;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    out.append(indent, ' ');
    out += line.empty() ? "#" : fmt::format("# {}", line);
    out += '\n';
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
}

void append_block_scalar(std::string& out, const std::string& text, std::size_t indent) {
  out += text.back() == '\n' ? " |\n" : " |-\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    if (!line.empty()) out.append(indent, ' ');
    out += line;
    out += '\n';
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
}

void append_children(std::string& out, const Yaml& node, std::size_t indent, std::size_t level);

/// The value after "key:" or "-", which are already there; ends the line.
void append_value(std::string& out, const Yaml& node, std::size_t indent, std::size_t level,
                  bool item) {
  const std::size_t line_start = out.rfind('\n') + 1;
  const bool may_inline = level > kBlockLevels || node.empty() || item;
  const auto text =
      may_inline || node.kind == Yaml::Kind::scalar ? inline_text(node) : std::nullopt;
  const std::size_t width = out.size() - line_start;
  // An item that is a map of one entry reads best as "- name: {…}".
  const bool named = item && node.kind == Yaml::Kind::map && node.entries.size() == 1;
  if (text && !named && (node.kind == Yaml::Kind::scalar || width + 1 + text->size() <= kColumns)) {
    out += ' ' + *text + '\n';
  } else if (node.kind == Yaml::Kind::scalar) {
    append_block_scalar(out, node.text, indent);
  } else if (item && node.kind == Yaml::Kind::map && node.entries.front().second.comment.empty()) {
    std::string inner;
    append_children(inner, node, indent, level);
    out += ' ' + inner.substr(indent);
  } else {
    out += '\n';
    append_children(out, node, indent, level);
  }
}

void append_children(std::string& out, const Yaml& node, std::size_t indent, std::size_t level) {
  for (const Yaml& item : node.items) {
    append_comment(out, item.comment, indent);
    out.append(indent, ' ');
    out += '-';
    Yaml bare = item;
    bare.comment.clear();
    append_value(out, bare, indent + 2, level + 1, true);
  }
  for (const auto& [key, value] : node.entries) {
    append_comment(out, value.comment, indent);
    out.append(indent, ' ');
    out += key_text(key) + ':';
    Yaml bare = value;
    bare.comment.clear();
    append_value(out, bare, indent + 2, level + 1, false);
  }
}

}  // namespace

const Yaml* Yaml::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return &value;
  }
  return nullptr;
}

Yaml& Yaml::set(std::string_view key, Yaml value) {
  kind = Kind::map;
  for (auto& [name, old] : entries) {
    if (name == key) return old = std::move(value);
  }
  return entries.emplace_back(key, std::move(value)).second;
}

void Yaml::erase(std::string_view key) {
  std::erase_if(entries, [key](const auto& entry) { return entry.first == key; });
}

Yaml word(std::string text) {
  Yaml scalar;
  scalar.text = std::move(text);
  return scalar;
}

Yaml literal(std::string_view text) {
  Yaml scalar;
  scalar.quoted = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("${")) scalar.text += '$';
    scalar.text += text[i];
  }
  return scalar;
}

Yaml list(std::vector<Yaml> items) {
  Yaml node;
  node.kind = Yaml::Kind::list;
  node.items = std::move(items);
  return node;
}

Yaml map(std::vector<std::pair<std::string, Yaml>> entries) {
  Yaml node;
  node.kind = Yaml::Kind::map;
  node.entries = std::move(entries);
  return node;
}

std::string render(const Yaml& document) {
  std::string out;
  append_comment(out, document.comment, 0);
  append_children(out, document, 0, 0);
  return out;
}

}  // namespace supv::import_god
