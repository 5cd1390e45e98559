#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "app/supvctl_print.h"
#include "app/supvctl_table.h"
#include "base/text.h"
#include "base/units.h"

namespace supv::ctl {
namespace {

bool is_one_of(const std::string& word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* other) { return word == other; });
}

Tone state_tone(const WatchReport& watch) {
  switch (status_code(watch, false)) {
    case 0:
      return watch.state == "up" ? Tone::good : Tone::faint;
    case 151:
      return Tone::busy;
    default:
      return Tone::bad;
  }
}

std::string last_exit_text(const LastExit& last) {
  if (last.code) return fmt::format("exit {}", *last.code);
  return last.signal.empty() ? "ended, status unknown" : "killed by " + printable(last.signal);
}

/// What happens next, else what happened last; the most urgent first.
std::string last_text(const WatchReport& watch, std::int64_t now) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  // The same reason often stands in several places; once is enough here.
  const auto because = [&text](const std::string& reason) {
    const std::string shown = printable(reason);
    return shown.empty() || text.find(shown) != std::string::npos ? "" : ": " + shown;
  };
  if (watch.hold) {
    add(fmt::format(
        "held by {}{}{}", printable(watch.hold->by),
        watch.hold->until_wall_ms
            ? " for another " +
                  brief_duration(static_cast<double>(*watch.hold->until_wall_ms - now) / 1000)
            : "",
        watch.hold->reason.empty() ? "" : ": " + printable(watch.hold->reason)));
  }
  const bool ended_badly = is_one_of(watch.state, {"backoff", "failed", "exited", "stuck"});
  if (ended_badly && watch.last_exit) add(last_exit_text(*watch.last_exit));
  if (watch.pending) {
    const PendingReport& pending = *watch.pending;
    add(fmt::format("{} {} (waits for {}){}", printable(pending.action),
                    pending.until_wall_ms ? ahead(*pending.until_wall_ms, now) : "later",
                    printable(pending.waiting_for), because(pending.reason)));
  }
  for (const std::string& warning : watch.warnings) {
    if (!because(warning).empty()) add("! " + printable(warning));
  }
  if (text.empty() && watch.last_change && !watch.last_change->action.empty()) {
    const LastChange& change = *watch.last_change;
    add(fmt::format("{} {} by {}{}", printable(change.action), age(change.wall_ms, now),
                    printable(change.by),
                    change.reason.empty() ? "" : ": " + printable(change.reason)));
  }
  return text;
}

std::string health_text(const WatchReport& watch) {
  if (watch.health == "failing") return "FAILING";
  return watch.health == "ok" ? "ok" : "-";
}

std::vector<Cell> row_of(const WatchReport& watch, const protocol::Used& used, const View& view) {
  const bool running = watch.pid > 0;
  std::string state = printable(watch.state);
  if (watch.hold) state += " (held)";
  return {{printable(watch.name), Tone::plain},
          {state, state_tone(watch)},
          {health_text(watch), watch.health == "failing" ? Tone::bad : Tone::plain},
          {running ? std::to_string(watch.pid) : "-", Tone::plain},
          {running ? brief_duration(watch.uptime_s) : "-", Tone::plain},
          {used.cpu_percent ? fmt::format("{:.1f}%", *used.cpu_percent) : "-", Tone::plain},
          {used.rss_bytes ? format_size(*used.rss_bytes) : "-", Tone::plain},
          {std::to_string(watch.restarts), Tone::plain},
          {last_text(watch, view.now_ms), Tone::plain}};
}

std::string footer(const protocol::Answer& answer, const View& view) {
  std::map<std::string, std::size_t> counts;
  std::vector<std::string> wrong;
  for (const WatchReport& watch : answer.report.watches) {
    ++counts[watch.state];
    const int code = status_code(watch, false);
    if (code != 0 && code != 151) wrong.push_back(watch.name);
  }
  constexpr std::array<const char*, 10> kOrder = {"up",      "starting",   "restarting", "stopping",
                                                  "backoff", "failed",     "stuck",      "exited",
                                                  "stopped", "unmonitored"};
  std::string text = fmt::format("{} watch{}", answer.report.watches.size(),
                                 answer.report.watches.size() == 1 ? "" : "es");
  const char* separator = ": ";
  for (const char* state : kOrder) {
    if (counts[state] == 0) continue;
    text += fmt::format("{}{} {}", separator, counts[state],
                        std::string_view(state) == "backoff" ? "in back-off" : state);
    separator = ", ";
  }
  const std::string consul =
      answer.supvd.consul.empty() ? answer.report.consul : answer.supvd.consul;
  if (!consul.empty() && consul != "unused") text += "; consul " + printable(consul);
  if (!answer.supvd.consul_address.empty()) {
    text += " (trial KV at " + printable(answer.supvd.consul_address) + ")";
  }
  text += "\n";
  if (!wrong.empty()) {
    text +=
        paint(fmt::format("! supvctl why {}", printable(wrong.front())), Tone::bad, view.colour) +
        (wrong.size() > 1 ? fmt::format("  (and {} more)", wrong.size() - 1) : "") + "\n";
  }
  return text;
}

std::string render_names(const protocol::Answer& answer) {
  std::string text;
  for (const WatchReport& watch : answer.report.watches) text += printable(watch.name) + "\n";
  return text;
}

int severity(int code) {
  constexpr std::array<int, 6> kRising = {0, 151, 150, 3, 4, 1};
  const auto at = std::find(kRising.begin(), kRising.end(), code);
  return static_cast<int>(at - kRising.begin());
}

}  // namespace

int status_code(const WatchReport& watch, bool named) {
  if (is_one_of(watch.state, {"failed", "stuck", "backoff"})) return 1;
  if (is_one_of(watch.state, {"starting", "restarting", "stopping"})) return 151;
  if (watch.state == "up") return watch.health == "failing" ? 150 : 0;
  if (watch.state == "exited") {
    if (!watch.last_exit || watch.last_exit->code != 0) return 1;
    return named && !watch.task ? 3 : 0;
  }
  if (watch.state == "stopped") {
    if (named && !watch.task) return 3;
    return watch.desired == "up" ? 151 : 0;
  }
  if (watch.state == "unmonitored") return named && watch.pid == 0 ? 3 : 0;
  return 4;
}

int status_code(const protocol::Answer& answer, const std::vector<std::string>& select) {
  int worst = 0;
  for (const WatchReport& watch : answer.report.watches) {
    const bool named = std::find(select.begin(), select.end(), watch.name) != select.end();
    const int code = status_code(watch, named);
    if (severity(code) > severity(worst)) worst = code;
  }
  return worst;
}

std::string render_status(const protocol::Answer& answer, const View& view, bool tree) {
  if (view.output == Output::json) return answer.json + "\n";
  if (view.output == Output::name) return render_names(answer);
  const std::vector<std::string> heading = {"NAME", "STATE", "HEALTH", "PID", "UP",
                                            "CPU",  "MEM",   "RST",    "LAST"};
  std::vector<std::vector<Cell>> rows;
  for (std::size_t i = 0; i < answer.report.watches.size(); ++i) {
    const protocol::Used used = i < answer.used.size() ? answer.used[i] : protocol::Used{};
    rows.push_back(row_of(answer.report.watches[i], used, view));
  }
  const auto width = view.output == Output::wide ? std::nullopt : view.width;
  std::string table = render_table(heading, rows, {3, 4, 5, 6, 7}, width, view.colour);
  if (tree) {
    std::string with_trees = table.substr(0, table.find('\n') + 1);
    table.erase(0, with_trees.size());
    for (const WatchReport& watch : answer.report.watches) {
      with_trees += table.substr(0, table.find('\n') + 1);
      table.erase(0, table.find('\n') + 1);
      if (watch.pid > 0) with_trees += render_tree(watch.pid, "  ");
    }
    table = with_trees;
  }
  return table + footer(answer, view);
}

}  // namespace supv::ctl
