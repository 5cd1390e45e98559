#include <chrono>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/protocol.h"

/// The client's side: a line from supvd as values. A field that is missing or of another type is
/// as good as null, so that clients and daemons of different versions understand each other.
namespace supv::protocol {
namespace {

using Json = nlohmann::ordered_json;

const Json& field(const Json& json, const char* name) {
  static const Json kNull;
  if (!json.is_object()) return kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

std::string text(const Json& json, const char* name) {
  const Json& value = field(json, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

template <typename Number>
std::optional<Number> maybe_number(const Json& json, const char* name) {
  const Json& value = field(json, name);
  // A double beyond the range of an integer type would be undefined behaviour to convert.
  if (std::is_floating_point_v<Number> ? !value.is_number() : !value.is_number_integer()) {
    return std::nullopt;
  }
  return value.get<Number>();
}

template <typename Number>
Number number(const Json& json, const char* name) {
  return maybe_number<Number>(json, name).value_or(Number{});
}

bool flag(const Json& json, const char* name) {
  const Json& value = field(json, name);
  return value.is_boolean() && value.get<bool>();
}

std::vector<std::string> texts(const Json& json, const char* name) {
  std::vector<std::string> list;
  for (const Json& value : field(json, name)) {
    if (value.is_string()) list.push_back(value.get<std::string>());
  }
  return list;
}

/// RFC 3339 in UTC, as format_time writes it.
std::optional<std::int64_t> parse_time(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d", &year, &month, &day, &hour, &minute,
                  &second) != 6) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  const std::chrono::seconds seconds =
      days + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
  return seconds.count() * 1000;
}

std::optional<std::int64_t> time(const Json& json, const char* name) {
  return parse_time(text(json, name));
}

std::optional<TimelineEntry> timeline_entry(const std::string& shown) {
  char hash[33] = {};
  char at[33] = {};
  unsigned long long index = 0;
  if (std::sscanf(shown.c_str(), "#%llu %32s %32s", &index, hash, at) != 3) return std::nullopt;
  return TimelineEntry{index, hash, parse_time(at).value_or(0)};
}

Metric metric(const Json& json) {
  return {text(json, "label"),
          maybe_number<double>(json, "value"),
          text(json, "unit"),
          text(json, "warn"),
          text(json, "crit"),
          maybe_number<double>(json, "min"),
          maybe_number<double>(json, "max")};
}

ConditionReport condition(const Json& json) {
  ConditionReport report{text(json, "id"),        text(json, "verdict"),  text(json, "reason"),
                         text(json, "mode"),      text(json, "baseline"), {},
                         time(json, "checked_at")};
  const Json& took = field(json, "took_ms");
  if (took.is_number()) report.took_ms = took.get<double>();
  for (const std::string& shown : texts(json, "timeline")) {
    if (auto entry = timeline_entry(shown)) report.timeline.push_back(std::move(*entry));
  }
  for (const Json& shown : field(json, "metrics")) report.metrics.push_back(metric(shown));
  return report;
}

void read_changes(const Json& json, WatchReport& watch) {
  if (const Json& last = field(json, "last_exit"); last.is_object()) {
    watch.last_exit = LastExit{maybe_number<int>(last, "code"), text(last, "signal"),
                               time(last, "at").value_or(0)};
  }
  if (const Json& last = field(json, "last_change"); last.is_object()) {
    watch.last_change = LastChange{time(last, "at").value_or(0), text(last, "action"),
                                   text(last, "by"), text(last, "reason")};
  }
  if (const Json& pending = field(json, "pending"); pending.is_object()) {
    watch.pending = PendingReport{text(pending, "action"), text(pending, "reason"),
                                  text(pending, "waiting_for"), time(pending, "until")};
  }
  if (const Json& hold = field(json, "hold"); hold.is_object()) {
    watch.hold = HoldReport{time(hold, "until"), text(hold, "reason"), text(hold, "by")};
  }
}

WatchReport watch(const Json& json) {
  WatchReport report;
  report.name = text(json, "name");
  report.groups = texts(json, "groups");
  report.state = text(json, "state");
  report.desired = text(json, "desired");
  report.health = text(json, "health");
  report.pid = number<int>(json, "pid");
  report.started_wall_ms = time(json, "started_at");
  report.uptime_s = number<double>(json, "uptime_s");
  report.restarts = number<std::uint64_t>(json, "restarts");
  read_changes(json, report);
  report.warnings = texts(json, "warnings");
  for (const Json& shown : field(json, "conditions")) {
    report.conditions.push_back(condition(shown));
  }
  report.essential = flag(json, "essential");
  report.task = flag(json, "task");
  report.file = text(json, "file");
  report.log = text(json, "log");
  report.err_log = text(json, "err_log");
  for (const Json& setting : field(json, "definition"))
    report.definition.push_back({text(setting, "key"), text(setting, "value")});
  return report;
}

std::vector<Outcome> outcomes(const Json& json) {
  std::vector<Outcome> list;
  for (const Json& outcome : field(json, "outcomes")) {
    list.push_back({text(outcome, "watch"), flag(outcome, "ok"), text(outcome, "text")});
  }
  return list;
}

HistoryLine history(const Json& json) {
  HistoryLine line;
  line.wall_ms = number<std::int64_t>(json, "wall_ms");
  const std::string kind = text(json, "kind");
  line.note.kind = kind == "condition" ? NoteKind::condition
                   : kind == "warning" ? NoteKind::warning
                   : kind == "action"  ? NoteKind::action
                                       : NoteKind::change;
  line.note.watch = text(json, "watch");
  line.note.from = text(json, "from");
  line.note.to = text(json, "to");
  line.note.action = text(json, "action");
  line.note.by = text(json, "by");
  line.note.reason = text(json, "reason");
  line.note.pid = number<int>(json, "pid");
  return line;
}

std::string from_base64(std::string_view digits) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : digits) {
    const std::size_t value = kDigits.find(digit);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xffU);
  }
  return bytes;
}

void read_supvd(const Json& result, Answer& answer) {
  // `version` has these fields at the top, `status` in an object.
  const Json& supvd = field(result, "supvd").is_object() ? field(result, "supvd") : result;
  answer.supvd = {number<int>(supvd, "pid"), text(supvd, "version"),
                  number<double>(supvd, "uptime_s"), text(supvd, "consul"),
                  text(supvd, "consul_address")};
  answer.report.consul = answer.supvd.consul;
}

void read_result(const Json& result, Answer& answer) {
  read_supvd(result, answer);
  answer.text = text(result, "text");
  answer.report.code = answer.code;
  answer.report.text = answer.text;
  answer.report.outcomes = outcomes(result);
  for (const Json& line : field(result, "plan")) {
    answer.report.plan.push_back(
        {text(line, "watch"), text(line, "change"), texts(line, "keys"), text(line, "text")});
  }
  for (const Json& shown : field(result, "watches")) {
    answer.report.watches.push_back(watch(shown));
    answer.used.push_back({maybe_number<std::uint64_t>(shown, "rss_bytes"),
                           maybe_number<double>(shown, "cpu_percent")});
  }
  for (const Json& event : field(result, "events")) answer.history.push_back(history(event));
  for (const Json& file : field(result, "logs")) {
    answer.logs.push_back({text(file, "watch"), text(file, "log"), text(file, "err_log")});
  }
  answer.kv = {answer.code, answer.text, std::nullopt, number<std::uint64_t>(result, "index")};
  if (field(result, "value").is_string()) answer.kv.value = text(result, "value");
  if (field(result, "value_base64").is_string()) {
    answer.kv.value = from_base64(text(result, "value_base64"));
  }
}

/// False if it is no notification that we know.
bool read_notification(const Json& message, Answer& answer) {
  const Json& params = field(message, "params");
  const std::string method = text(message, "method");
  answer.json = params.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (method == "event") {
    answer.kind = Answer::Kind::event;
    answer.history.push_back(history(params));
    return true;
  }
  if (method != "progress") return false;
  answer.kind = Answer::Kind::progress;
  answer.id = field(params, "id").dump(-1, ' ', false, Json::error_handler_t::replace);
  answer.text = answer.report.text = text(params, "text");
  answer.report.expect_ms = number<std::int64_t>(params, "expect_ms");
  answer.report.outcomes = outcomes(params);
  return true;
}

}  // namespace

std::optional<HistoryLine> parse_history(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !maybe_number<std::int64_t>(json, "wall_ms")) return std::nullopt;
  return history(json);
}

std::optional<Answer> parse_answer(std::string_view line) {
  const Json message = Json::parse(line, nullptr, false);
  if (!message.is_object() || text(message, "jsonrpc") != "2.0") return std::nullopt;
  Answer answer;
  if (field(message, "method").is_string()) {
    if (!read_notification(message, answer)) return std::nullopt;
    return answer;
  }
  answer.id = field(message, "id").dump(-1, ' ', false, Json::error_handler_t::replace);
  if (const Json& error = field(message, "error"); error.is_object()) {
    answer.kind = Answer::Kind::error;
    answer.error = number<int>(error, "code");
    answer.code = maybe_number<int>(field(error, "data"), "exit").value_or(code::kFailed);
    answer.text = text(error, "message");
    answer.json = error.dump(-1, ' ', false, Json::error_handler_t::replace);
    return answer;
  }
  const Json& result = field(message, "result");
  if (!result.is_object()) return std::nullopt;
  answer.code = number<int>(message, "exit");
  answer.json = result.dump(-1, ' ', false, Json::error_handler_t::replace);
  read_result(result, answer);
  return answer;
}

}  // namespace supv::protocol
