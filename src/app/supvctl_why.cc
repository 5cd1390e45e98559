#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "app/supvctl_print.h"
#include "app/supvctl_table.h"
#include "base/text.h"
#include "base/units.h"

namespace supv::ctl {
std::string metrics_part(const std::vector<Metric>& metrics) {
  constexpr std::size_t kMost = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(metrics.size(), kMost); ++i)
    text += (i == 0 ? " | " : " ") + printable(metric_text(metrics[i]));
  if (metrics.size() > kMost) text += fmt::format(" and {} more", metrics.size() - kMost);
  return text;
}

namespace {

constexpr std::size_t kLogLines = 10;

std::string field(const char* name, const std::string& text) {
  return text.empty() ? "" : fmt::format("  {:<13}{}\n", name, text);
}

std::string colon(const std::string& reason) {
  return reason.empty() ? "" : ": " + printable(reason);
}

std::string headline(const WatchReport& watch, const View& view) {
  std::string text =
      paint(printable(watch.name), Tone::plain, view.colour) + " is " + printable(watch.state);
  if (watch.pid > 0) {
    text += fmt::format(" (pid {}, for {})", watch.pid, brief_duration(watch.uptime_s));
  }
  if (watch.desired != watch.state) text += ", should be " + printable(watch.desired);
  if (watch.health != "unknown" && !watch.health.empty()) {
    text += ", health " + printable(watch.health);
  }
  return text + "\n";
}

std::string last_parts(const WatchReport& watch, const View& view) {
  std::string text;
  if (watch.last_change && !watch.last_change->action.empty()) {
    const LastChange& change = *watch.last_change;
    text +=
        field("last change", fmt::format("{} ({}): {} by {}{}", format_time(change.wall_ms),
                                         age(change.wall_ms, view.now_ms), printable(change.action),
                                         printable(change.by), colon(change.reason)));
  }
  if (watch.last_exit) {
    const LastExit& last = *watch.last_exit;
    const std::string how = last.code             ? fmt::format("exit {}", *last.code)
                            : last.signal.empty() ? "ended, status unknown"
                                                  : "killed by " + printable(last.signal);
    text += field("last exit", fmt::format("{} ({}): {}", format_time(last.wall_ms),
                                           age(last.wall_ms, view.now_ms), how));
  }
  return text;
}

std::string next_parts(const WatchReport& watch, const View& view) {
  std::string text;
  if (watch.pending) {
    const PendingReport& pending = *watch.pending;
    const std::string when =
        pending.until_wall_ms ? fmt::format(", {} ({})", ahead(*pending.until_wall_ms, view.now_ms),
                                            format_time(*pending.until_wall_ms))
                              : "";
    text +=
        field("pending", fmt::format("{} waits for {}{}{}", printable(pending.action),
                                     printable(pending.waiting_for), when, colon(pending.reason)));
  }
  if (watch.hold) {
    const std::string until =
        watch.hold->until_wall_ms
            ? fmt::format(" until {} ({} left)", format_time(*watch.hold->until_wall_ms),
                          brief_duration(
                              static_cast<double>(*watch.hold->until_wall_ms - view.now_ms) / 1000))
            : " until released";
    text += field("held", fmt::format("by {}{}{}", printable(watch.hold->by), until,
                                      colon(watch.hold->reason)));
  }
  for (const std::string& warning : watch.warnings) text += field("warning", printable(warning));
  return text;
}

std::string condition_part(const ConditionReport& condition, const View& view) {
  const Tone tone = condition.verdict == "true" ? Tone::busy : Tone::plain;
  std::string text =
      fmt::format("    {:<24}{}{}{}{}\n", printable(condition.id),
                  paint(fmt::format("{:<9}", printable(condition.verdict)), tone, view.colour),
                  printable(condition.reason), metrics_part(condition.metrics),
                  condition.checked_wall_ms
                      ? fmt::format("  (checked {})", age(*condition.checked_wall_ms, view.now_ms))
                      : "");
  if (!condition.mode.empty() || !condition.baseline.empty()) {
    text += fmt::format(
        "      {}{}{}\n", condition.mode.empty() ? "" : "mode: " + printable(condition.mode),
        condition.mode.empty() || condition.baseline.empty() ? "" : ", ",
        condition.baseline.empty() ? "" : "baseline: " + printable(condition.baseline));
  }
  for (std::size_t i = 0; i < condition.timeline.size(); ++i) {
    const TimelineEntry& entry = condition.timeline[i];
    text += fmt::format("      #{} {} {}{}\n", entry.index, printable(entry.hash8),
                        format_time(entry.wall_ms), i == 0 ? "  baseline" : "");
  }
  return text;
}

std::string conditions_part(const WatchReport& watch, const View& view) {
  if (watch.conditions.empty()) return "";
  std::string text = "  conditions\n";
  for (const ConditionReport& condition : watch.conditions) text += condition_part(condition, view);
  return text;
}

std::string log_part(const std::string& title, const std::string& path) {
  if (path.empty() || path.front() != '/') return "";
  const std::vector<std::string> lines = last_lines(path, kLogLines);
  if (lines.empty()) return field(title.c_str(), printable(path));
  std::string text = fmt::format("  {} ({})\n", title, printable(path));
  for (const std::string& line : lines) text += "    " + printable(line) + "\n";
  return text;
}

std::string logs_part(const WatchReport& watch) {
  const bool split = !watch.err_log.empty() && watch.err_log != watch.log;
  return log_part("last output", watch.log) + (split ? log_part("last errors", watch.err_log) : "");
}

std::string about(const WatchReport& watch, const protocol::Used& used) {
  std::string groups;
  for (const std::string& group : watch.groups) {
    groups += (groups.empty() ? "" : ", ") + printable(group);
  }
  std::string text = field("groups", groups) + field("defined in", printable(watch.file)) +
                     field("restarts", std::to_string(watch.restarts));
  if (watch.started_wall_ms) text += field("started", format_time(*watch.started_wall_ms));
  if (used.rss_bytes) text += field("memory", format_size(*used.rss_bytes));
  if (used.cpu_percent) text += field("cpu", fmt::format("{:.1f}%", *used.cpu_percent));
  if (watch.essential) text += field("essential", "supvd ends when it ends (as PID 1)");
  text += field("log", printable(watch.log));
  if (watch.err_log != watch.log) text += field("error log", printable(watch.err_log));
  return text;
}

std::string definition_part(const WatchReport& watch) {
  if (watch.definition.empty()) return "";
  std::string text = "  definition\n";
  for (const Setting& setting : watch.definition)
    text += fmt::format("    {:<14}{}\n", printable(setting.key), printable(setting.value));
  return text;
}

}  // namespace

std::string render_why(const protocol::Answer& answer, const View& view) {
  if (view.output == Output::json) return answer.json + "\n";
  std::string text;
  for (const WatchReport& watch : answer.report.watches) {
    if (!text.empty()) text += "\n";
    text += headline(watch, view) + last_parts(watch, view) + next_parts(watch, view) +
            conditions_part(watch, view) + logs_part(watch);
  }
  return text;
}

std::string render_show(const protocol::Answer& answer, const View& view) {
  if (view.output == Output::json) return answer.json + "\n";
  std::string text;
  for (std::size_t i = 0; i < answer.report.watches.size(); ++i) {
    const WatchReport& watch = answer.report.watches[i];
    if (!text.empty()) text += "\n";
    text += headline(watch, view) +
            about(watch, i < answer.used.size() ? answer.used[i] : protocol::Used{}) +
            last_parts(watch, view) + next_parts(watch, view) + conditions_part(watch, view) +
            definition_part(watch);
    if (watch.pid > 0) text += "  processes\n" + render_tree(watch.pid, "    ");
  }
  return text;
}

}  // namespace supv::ctl
