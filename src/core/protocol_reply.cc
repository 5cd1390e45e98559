#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/protocol.h"

namespace supv::protocol {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const Json& message) {
  return message.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

/// The id was checked when the call was read; anything else would break the line.
Json id_json(const std::string& id) {
  Json parsed = Json::parse(id, nullptr, false);
  return parsed.is_discarded() ? Json() : parsed;
}

Json result_message(const std::string& id, Json result, int exit_code) {
  Json message = {{"jsonrpc", "2.0"}};
  message["id"] = id_json(id);
  message["result"] = std::move(result);
  // Beside the result, because `status` promises exactly which fields the result has.
  message["exit"] = exit_code;
  return message;
}

Json notification(const char* method, Json params) {
  Json message = {{"jsonrpc", "2.0"}};
  message["method"] = method;
  message["params"] = std::move(params);
  return message;
}

// What does not apply is null, never absent.
Json text_or_null(std::string_view text) { return text.empty() ? Json() : Json(text); }
Json pid_or_null(int pid) { return pid == 0 ? Json() : Json(pid); }
template <typename Value>
Json value_or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}
Json time_or_null(const std::optional<std::int64_t>& wall_ms) {
  return wall_ms ? Json(format_time(*wall_ms)) : Json();
}

Json supvd_json(const Supvd& supvd) {
  return {{"pid", pid_or_null(supvd.pid)},
          {"version", supvd.version},
          {"uptime_s", supvd.uptime_s},
          {"consul", supvd.consul},
          {"consul_address", text_or_null(supvd.consul_address)}};
}

Json metric_json(const Metric& metric) {
  Json json = {{"label", metric.label}};
  if (metric.value) json["value"] = *metric.value;
  if (!metric.unit.empty()) json["unit"] = metric.unit;
  if (!metric.warn.empty()) json["warn"] = metric.warn;
  if (!metric.crit.empty()) json["crit"] = metric.crit;
  if (metric.min) json["min"] = *metric.min;
  if (metric.max) json["max"] = *metric.max;
  return json;
}

Json condition_json(const ConditionReport& condition) {
  Json timeline;
  if (!condition.mode.empty() || !condition.timeline.empty()) {
    timeline = Json::array();
    for (const TimelineEntry& entry : condition.timeline) {
      timeline.push_back(
          fmt::format("#{} {} {}", entry.index, entry.hash8, format_time(entry.wall_ms)));
    }
  }
  Json json = {{"id", condition.id},
               {"verdict", condition.verdict},
               {"reason", text_or_null(condition.reason)},
               {"timeline", std::move(timeline)},
               {"checked_at", time_or_null(condition.checked_wall_ms)},
               {"mode", text_or_null(condition.mode)},
               {"baseline", text_or_null(condition.baseline)}};
  // Unlike the rest these are left out where there are none, as few conditions measure anything.
  for (const Metric& metric : condition.metrics) json["metrics"].push_back(metric_json(metric));
  return json;
}

Json last_exit_json(const std::optional<LastExit>& last) {
  if (!last) return {};
  return {{"code", value_or_null(last->code)},
          {"signal", text_or_null(last->signal)},
          {"at", format_time(last->wall_ms)}};
}

Json last_change_json(const std::optional<LastChange>& last) {
  if (!last) return {};
  return {{"at", format_time(last->wall_ms)},
          {"action", text_or_null(last->action)},
          {"by", text_or_null(last->by)},
          {"reason", text_or_null(last->reason)}};
}

Json pending_json(const std::optional<PendingReport>& pending) {
  if (!pending) return {};
  return {{"action", text_or_null(pending->action)},
          {"reason", text_or_null(pending->reason)},
          {"waiting_for", text_or_null(pending->waiting_for)},
          {"until", time_or_null(pending->until_wall_ms)}};
}

Json hold_json(const std::optional<HoldReport>& hold) {
  if (!hold) return {};
  return {{"until", time_or_null(hold->until_wall_ms)},
          {"reason", text_or_null(hold->reason)},
          {"by", text_or_null(hold->by)}};
}

/// A hundredth is more than a clock tick can measure.
Json rounded(double value) { return static_cast<double>(std::llround(value * 100)) / 100; }

Json watch_json(const WatchReport& watch, const Used& used) {
  Json json = {{"name", watch.name},
               {"groups", watch.groups},
               {"state", watch.state},
               {"desired", watch.desired},
               {"health", watch.health},
               {"pid", pid_or_null(watch.pid)},
               {"uptime_s", watch.pid == 0 ? Json() : rounded(watch.uptime_s)},
               {"restarts", watch.restarts},
               {"rss_bytes", value_or_null(used.rss_bytes)},
               {"cpu_percent", used.cpu_percent ? rounded(*used.cpu_percent) : Json()},
               {"last_exit", last_exit_json(watch.last_exit)},
               {"last_change", last_change_json(watch.last_change)},
               {"pending", pending_json(watch.pending)},
               {"hold", hold_json(watch.hold)},
               {"warnings", watch.warnings},
               {"task", watch.task},
               {"conditions", Json::array()}};
  for (const ConditionReport& condition : watch.conditions) {
    json["conditions"].push_back(condition_json(condition));
    if (condition.took_ms) json["conditions"].back()["took_ms"] = rounded(*condition.took_ms);
  }
  return json;
}

/// What `show` and `why` tell beyond `status`.
void add_details(Json& json, const WatchReport& watch) {
  json["started_at"] = time_or_null(watch.started_wall_ms);
  json["essential"] = watch.essential;
  json["file"] = text_or_null(watch.file);
  json["log"] = text_or_null(watch.log);
  json["err_log"] = text_or_null(watch.err_log);
  if (watch.definition.empty()) return;
  json["definition"] = Json::array();  // not an object: a list of conditions repeats its key
  for (const Setting& setting : watch.definition)
    json["definition"].push_back({{"key", setting.key}, {"value", setting.value}});
}

Json watches_json(const Report& report, const Supvd& supvd, const std::vector<Used>& used,
                  bool details) {
  Supvd shown = supvd;
  shown.consul = report.consul;
  Json result = {{"supvd", supvd_json(shown)}, {"watches", Json::array()}};
  for (std::size_t i = 0; i < report.watches.size(); ++i) {
    Json watch = watch_json(report.watches[i], i < used.size() ? used[i] : Used());
    if (details) add_details(watch, report.watches[i]);
    result["watches"].push_back(std::move(watch));
  }
  if (details) result["text"] = text_or_null(report.text);
  return result;
}

Json outcomes_json(const std::vector<Outcome>& outcomes) {
  Json list = Json::array();
  for (const Outcome& outcome : outcomes) {
    list.push_back({{"watch", outcome.watch}, {"ok", outcome.ok}, {"text", outcome.text}});
  }
  return list;
}

Json deed_json(const Report& report) {
  Json plan = Json::array();
  for (const PlanLine& line : report.plan) {
    plan.push_back(
        {{"watch", line.watch}, {"change", line.change}, {"keys", line.keys}, {"text", line.text}});
  }
  return {{"code", report.code},
          {"text", text_or_null(report.text)},
          {"outcomes", outcomes_json(report.outcomes)},
          {"plan", std::move(plan)}};
}

bool shows_watches(const Call& call) {
  return call.kind == Kind::core &&
         (call.request.verb == Request::Verb::status || call.request.verb == Request::Verb::show ||
          call.request.verb == Request::Verb::why || call.request.verb == Request::Verb::probe);
}

/// A query that was not answered, rather than answered with a code.
bool unanswered(const Call& call, const Report& report) {
  const bool query = shows_watches(call) || call.kind != Kind::core;
  return query && report.watches.empty() &&
         (report.code == code::kUsage || report.code == code::kDenied ||
          report.code == code::kNoSuchWatch || report.code == code::kInvalid);
}

const char* kind_name(NoteKind kind) {
  switch (kind) {
    case NoteKind::change:
      return "change";
    case NoteKind::condition:
      return "condition";
    case NoteKind::warning:
      return "warning";
    case NoteKind::action:
      return "action";
  }
  return "change";
}

bool is_utf8(const std::string& bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)) ==
         Json(bytes);
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      const bool padding = at + i > bytes.size();
      out += padding ? '=' : kDigits[group >> (18 - 6 * i) & 63U];
    }
  }
  return out;
}

}  // namespace

std::string reply_line(const Call& call, const Report& report, const Supvd& supvd,
                       const std::vector<Used>& used) {
  if (unanswered(call, report)) {
    return error_line({call.id, kRefusedCall, report.text}, report.code);
  }
  const bool details = call.request.verb != Request::Verb::status;
  Json result =
      shows_watches(call) ? watches_json(report, supvd, used, details) : deed_json(report);
  return line_of(result_message(call.id, std::move(result), report.code));
}

std::string progress_line(const Call& call, const Report& report) {
  return line_of(notification("progress", {{"id", id_json(call.id)},
                                           {"expect_ms", report.expect_ms},
                                           {"text", text_or_null(report.text)},
                                           {"outcomes", outcomes_json(report.outcomes)}}));
}

std::string error_line(const Refusal& refusal, int exit_code) {
  Json message = {{"jsonrpc", "2.0"}};
  message["id"] = id_json(refusal.id);
  message["error"] = {
      {"code", refusal.error}, {"message", refusal.text}, {"data", {{"exit", exit_code}}}};
  return line_of(message);
}

std::string version_line(const Call& call, const Supvd& supvd) {
  return line_of(result_message(
      call.id,
      {{"version", supvd.version}, {"pid", pid_or_null(supvd.pid)}, {"uptime_s", supvd.uptime_s}},
      code::kDone));
}

std::string history_line(const Call& call, const std::vector<std::string>& lines) {
  Json events = Json::array();
  for (const std::string& line : lines) {
    Json event = Json::parse(line, nullptr, false);
    if (event.is_object()) events.push_back(std::move(event));
  }
  return line_of(result_message(call.id, {{"events", std::move(events)}}, code::kDone));
}

std::string logs_line(const Call& call, const std::vector<LogFiles>& files) {
  Json logs = Json::array();
  for (const LogFiles& file : files) {
    logs.push_back({{"watch", file.watch}, {"log", file.log}, {"err_log", file.err_log}});
  }
  return line_of(result_message(call.id, {{"logs", std::move(logs)}}, code::kDone));
}

std::string kv_line(const Call& call, const KvAnswer& answer) {
  const bool text = answer.value && is_utf8(*answer.value);
  return line_of(result_message(
      call.id,
      {{"code", answer.code},
       {"text", text_or_null(answer.text)},
       {"value", text ? Json(*answer.value) : Json()},
       {"value_base64", answer.value && !text ? Json(base64(*answer.value)) : Json()},
       {"index", answer.index == 0 ? Json() : Json(answer.index)}},
      answer.code));
}

std::string event_line(std::string_view history_text) {
  Json event = Json::parse(history_text, nullptr, false);
  return line_of(notification("event", event.is_discarded() ? Json() : std::move(event)));
}

std::string history_text(const HistoryLine& line) {
  const fx::Note& note = line.note;
  const Json json = {{"at", format_time(line.wall_ms)}, {"watch", text_or_null(note.watch)},
                     {"kind", kind_name(note.kind)},    {"from", text_or_null(note.from)},
                     {"to", text_or_null(note.to)},     {"action", text_or_null(note.action)},
                     {"by", text_or_null(note.by)},     {"reason", text_or_null(note.reason)},
                     {"pid", pid_or_null(note.pid)},    {"wall_ms", line.wall_ms}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace supv::protocol
