#include "config/scope.h"

#include <fmt/core.h>

#include <utility>
#include <vector>

#include "base/text.h"

namespace supv {
namespace {

/// The kernel takes no argument or variable longer than this.
constexpr std::size_t kMaxText = 128 * 1024;
/// All texts of a configuration, each counted as often as it is inherited.
constexpr std::size_t kMaxTexts = std::size_t{64} << 20;
/// What even a short text costs.
constexpr std::size_t kTextCost = 64;

constexpr std::string_view kNames =
    "there are ${env.NAME}, ${vars.NAME}, ${watch.name}, ${watch.dir}, ${file.dir}, "
    "${node.hostname}, ${node.ip} and ${node.mac}; $${ is a literal ${";

const std::string* find_var(const Scope* scope, std::string_view name) {
  for (; scope != nullptr; scope = scope->outer) {
    if (const auto found = scope->vars.find(name); found != scope->vars.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

const std::string* find_override(const Scope* scope, std::optional<std::string> Scope::*member) {
  for (; scope != nullptr; scope = scope->outer) {
    if (scope->*member) return &*(scope->*member);
  }
  return nullptr;
}

}  // namespace

void Expander::enter(const Scope* scope, std::string watch_name) {
  scope_ = scope;
  watch_name_ = std::move(watch_name);
  watch_dir_.reset();
}

void Expander::fail(const Node& node, std::size_t at, std::size_t length, std::string text,
                    std::string help) {
  Place place = node.place();
  // Inside plain text, and in quotes without escapes, the byte can be pointed at.
  const std::size_t begin = node.offset + (node.quoted ? 1 : 0);
  const std::string_view source = node.source->text;
  if (!node.alias && begin < source.size() && source.substr(begin).starts_with(node.text)) {
    place = node.source->place(begin + at, length);
  }
  report_.error(std::move(place), std::move(text), std::move(help));
}

bool Expander::spend(const Node& node, std::size_t bytes) {
  if (spent_ > kMaxTexts) return false;
  spent_ += bytes;
  if (spent_ <= kMaxTexts) return true;
  report_.error(node.place(), "the texts of this configuration unfold to more than 64 MiB");
  report_.stop();
  return false;
}

std::optional<std::string> Expander::expand(const Node& node) {
  const std::string& text = node.text;
  if (!spend(node, text.size() + kTextCost)) return std::nullopt;
  if (text.size() > kMaxText) {
    report_.error(node.place(), fmt::format("this text is longer than {} bytes", kMaxText));
    return std::nullopt;
  }
  if (text.find('\0') != std::string::npos) {
    report_.error(node.place(), "a text cannot contain a NUL character");
    return std::nullopt;
  }
  std::string out;
  std::size_t at = 0;
  bool good = true;
  for (std::size_t next = text.find("${"); next != std::string::npos; next = text.find("${", at)) {
    if (next > at && text[next - 1] == '$') {
      out.append(text, at, next - 1 - at).append("${");
      at = next + 2;
      continue;
    }
    out.append(text, at, next - at);
    const std::size_t end = text.find('}', next);
    if (end == std::string::npos) {
      fail(node, next, 2, "this '${' is never closed", "write $${ for a literal ${");
      return std::nullopt;
    }
    const auto value = look_up(node, next, std::string_view(text).substr(next + 2, end - next - 2));
    if (report_.full()) return std::nullopt;
    good = good && value.has_value() && spend(node, value->size());
    if (good) out += *value;
    at = end + 1;
  }
  if (!good) return std::nullopt;
  out.append(text, at);
  if (out.size() > kMaxText) {
    report_.error(node.place(), fmt::format("this text is longer than {} bytes", kMaxText));
    return std::nullopt;
  }
  return out;
}

std::optional<std::string> Expander::look_up(const Node& node, std::size_t at,
                                             std::string_view name) {
  const std::size_t dot = name.find('.');
  const std::string_view group = name.substr(0, dot);
  const std::string member(dot == std::string_view::npos ? "" : name.substr(dot + 1));
  if (member.empty()) {
    unknown(node, at, name);
    return std::nullopt;
  }
  if (group == "env") {
    const auto found = input_.environment.find(member);
    if (found != input_.environment.end()) return found->second;
    fail(node, at, name.size() + 3, fmt::format("environment variable '{}' is not set", member),
         suggestion(node, name));
    return std::nullopt;
  }
  if (group == "vars") {
    if (const std::string* value = variable(node, member)) return *value;
    fail(node, at, name.size() + 3, fmt::format("there is no '{}' in vars", member),
         suggestion(node, name));
    return std::nullopt;
  }
  if (name == "file.dir") return node.source->dir;
  if (group == "watch" && (member == "name" || member == "dir")) {
    if (auto value = watch_value(member)) return value;
    fail(node, at, name.size() + 3, fmt::format("'${{{}}}' is not known here", name),
         watch_name_.empty() ? "it exists only inside a watch" : "'dir' cannot contain itself");
    return std::nullopt;
  }
  if (group == "node" && (member == "hostname" || member == "ip" || member == "mac")) {
    if (auto value = node_fact(member)) return value;
    fail(node, at, name.size() + 3, fmt::format("'${{{}}}' cannot be found out here", name),
         fmt::format("say it under 'node: {{{}: …}}'", member));
    return std::nullopt;
  }
  unknown(node, at, name);
  return std::nullopt;
}

void Expander::unknown(const Node& node, std::size_t at, std::string_view name) {
  std::string help = suggestion(node, name);
  if (help.empty()) help = kNames;
  fail(node, at, name.size() + 3, fmt::format("unknown '${{{}}}'", name), std::move(help));
}

std::optional<std::string> Expander::watch_value(std::string_view member) const {
  if (watch_name_.empty()) return std::nullopt;
  if (member == "name") return watch_name_;
  return watch_dir_;
}

const std::string* Expander::variable(const Node& node, std::string_view name) const {
  // A ready-made watch brings vars of its own; those of the file that extends it come first.
  if (const std::string* value = find_var(scope_, name)) return value;
  const auto own = scopes_.find(node.source);
  return own == scopes_.end() ? nullptr : find_var(own->second, name);
}

std::optional<std::string> Expander::node_fact(std::string_view member) {
  const auto override_of = [this](std::optional<std::string> Scope::*field) {
    return find_override(scope_, field);
  };
  const std::string* written = override_of(member == "ip"    ? &Scope::ip
                                           : member == "mac" ? &Scope::mac
                                                             : &Scope::hostname);
  if (written != nullptr) return *written;
  if (!input_.node) return std::nullopt;
  const std::string* interface = override_of(&Scope::interface);
  const std::string name = interface == nullptr ? "" : *interface;
  auto found = facts_.find(name);
  if (found == facts_.end()) found = facts_.emplace(name, input_.node(name)).first;
  const NodeFacts& facts = found->second;
  const std::string& value = member == "ip"    ? facts.ip
                             : member == "mac" ? facts.mac
                                               : facts.hostname;
  if (value.empty()) return std::nullopt;
  return value;
}

std::string Expander::suggestion(const Node& node, std::string_view name) const {
  std::vector<std::string> known = {"watch.name",    "watch.dir", "file.dir",
                                    "node.hostname", "node.ip",   "node.mac"};
  for (const auto& [variable_name, value] : input_.environment)
    known.push_back("env." + variable_name);
  const auto own = scopes_.find(node.source);
  for (const Scope* scope : {scope_, own == scopes_.end() ? nullptr : own->second}) {
    for (; scope != nullptr; scope = scope->outer) {
      for (const auto& [variable_name, value] : scope->vars)
        known.push_back("vars." + variable_name);
    }
  }
  if (input_.environment.contains(std::string(name))) {
    return fmt::format("write ${{env.{}}}, or $${{{}}} if the shell is to replace it", name, name);
  }
  const std::string_view near = nearest_word(name, {known.begin(), known.end()});
  return near.empty() ? "" : fmt::format("did you mean '${{{}}}'?", near);
}

}  // namespace supv
