#include "app/supvctl_plugin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/supvctl_table.h"
#include "base/text.h"
#include "conditions/catalog.h"
#include "core/report.h"
#include "plugin/check.h"
#include "plugin/library.h"

namespace supv::ctl {
namespace {

using nlohmann::ordered_json;
using Level = Finding::Level;

const char* level_name(Level level) {
  switch (level) {
    case Level::ok:
      return "ok";
    case Level::warning:
      return "warning";
    case Level::wrong:
      return "wrong";
  }
  return "";
}

Tone level_tone(Level level) {
  switch (level) {
    case Level::ok:
      return Tone::good;
    case Level::warning:
      return Tone::busy;
    case Level::wrong:
      return Tone::bad;
  }
  return Tone::plain;
}

std::size_t count_of(const PluginVerdict& verdict, Level level) {
  return static_cast<std::size_t>(
      std::count_if(verdict.findings.begin(), verdict.findings.end(),
                    [level](const Finding& one) { return one.level == level; }));
}

std::string summary(const std::string& path, const PluginVerdict& verdict) {
  const std::size_t warnings = count_of(verdict, Level::warning);
  const std::size_t wrong = count_of(verdict, Level::wrong);
  std::string text = fmt::format("{}: ", printable(path));
  text += wrong == 0   ? "good"
          : wrong == 1 ? "1 thing is wrong"
                       : fmt::format("{} things are wrong", wrong);
  if (warnings > 0) text += fmt::format(", {} warning{}", warnings, warnings == 1 ? "" : "s");
  return text;
}

/// The page that `supvctl conditions NAME` would show of it.
std::string reference(const PluginVerdict& verdict) {
  if (verdict.declaration.empty()) return {};
  try {
    return describe_condition(Declaration(verdict.declaration).descriptor());
  } catch (const BadPlugin&) {
    return {};  // It wrote over what it had declared; something else is wrong too.
  }
}

std::string declared_name(const PluginVerdict& verdict) {
  if (verdict.declaration.empty()) return {};
  try {
    return Declaration(verdict.declaration).descriptor().name;
  } catch (const BadPlugin&) {
    return {};
  }
}

void print_json(const std::string& path, const PluginVerdict& verdict) {
  ordered_json json = {{"ok", verdict.good()},
                       {"file", path},
                       {"wrong", count_of(verdict, Level::wrong)},
                       {"warnings", count_of(verdict, Level::warning)},
                       {"findings", ordered_json::array()}};
  for (const Finding& one : verdict.findings)
    json["findings"].push_back(
        {{"level", level_name(one.level)}, {"stage", one.stage}, {"text", one.text}});
  const std::string page = reference(verdict);
  json["reference"] = page.empty() ? ordered_json() : ordered_json(page);
  fmt::print("{}\n", json.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void print_text(const Invocation& invocation, const PluginVerdict& verdict) {
  for (const Finding& one : verdict.findings) {
    if (invocation.quiet && one.level == Level::ok) continue;
    fmt::print("{} {:<12} {}\n",
               paint(fmt::format("{:<8}", level_name(one.level)), level_tone(one.level),
                     invocation.colour),
               one.stage, one.text);
  }
  if (!invocation.quiet || !verdict.good())
    fmt::print("{}\n", summary(invocation.files.front(), verdict));
  if (!invocation.verbose) return;
  const std::string page = reference(verdict);
  if (!page.empty()) fmt::print("\n{}", page);
}

/// supvd looks for a plugin only when it has no condition of that name itself.
void warn_of_namesake(PluginVerdict& verdict) {
  const std::string name = declared_name(verdict);
  for (const auto* builtin : builtin_conditions())
    if (name == builtin->name)
      verdict.findings.push_back(
          {Level::warning, "name",
           fmt::format("supvd has a condition {} itself, and will never load this one", name)});
}

int usage(const std::string& text) {
  fmt::print(stderr, "supvctl: {}\n", text);
  return code::kUsage;
}

}  // namespace

int check_plugin_file(const Invocation& invocation) {
  if (invocation.from != "check") return usage("plugin check FILE.so");
  if (invocation.files.size() != 1) return usage("plugin check takes one FILE.so");
  PluginCheck check;
  check.path = invocation.files.front();
  if (invocation.timeout) check.patience = *invocation.timeout;
  if (check.patience.count() <= 0) return usage("--timeout 0s leaves no time for anything");
  for (const std::string& option : invocation.options) {
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos || equals == 0)
      return usage(fmt::format("--option NAME=VALUE, not '{}'", printable(option)));
    check.options.emplace_back(option.substr(0, equals), option.substr(equals + 1));
  }
  PluginVerdict verdict = check_plugin(check);
  warn_of_namesake(verdict);
  if (invocation.output == Output::json || invocation.output == Output::jsonl) {
    print_json(check.path, verdict);
  } else {
    print_text(invocation, verdict);
  }
  return verdict.good() ? 0 : 1;
}

}  // namespace supv::ctl
