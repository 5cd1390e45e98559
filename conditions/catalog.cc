#include "conditions/catalog.h"

#include <cstdio>
#include <string_view>

extern "C" {
extern const supv_condition_descriptor supv_condition_always;
extern const supv_condition_descriptor supv_condition_certificate_expiry;
extern const supv_condition_descriptor supv_condition_consul_kv;
extern const supv_condition_descriptor supv_condition_cpu_usage;
extern const supv_condition_descriptor supv_condition_disk_usage;
extern const supv_condition_descriptor supv_condition_exec;
extern const supv_condition_descriptor supv_condition_fd_usage;
extern const supv_condition_descriptor supv_condition_file_mtime;
extern const supv_condition_descriptor supv_condition_file_touched;
extern const supv_condition_descriptor supv_condition_http_response_code;
extern const supv_condition_descriptor supv_condition_load_average;
extern const supv_condition_descriptor supv_condition_log_match;
extern const supv_condition_descriptor supv_condition_lua;
extern const supv_condition_descriptor supv_condition_memory_usage;
extern const supv_condition_descriptor supv_condition_oom_killed;
extern const supv_condition_descriptor supv_condition_pressure;
extern const supv_condition_descriptor supv_condition_process_exits;
extern const supv_condition_descriptor supv_condition_process_running;
extern const supv_condition_descriptor supv_condition_schedule;
extern const supv_condition_descriptor supv_condition_socket_responding;
extern const supv_condition_descriptor supv_condition_threads;
extern const supv_condition_descriptor supv_condition_tries;
}

namespace supv {
namespace {

constexpr std::size_t kColumns = 100;

const char* type_name(supv_type type) {
  switch (type) {
    case SUPV_TEXT:
      return "text";
    case SUPV_DURATION:
      return "duration";
    case SUPV_SIZE:
      return "size";
    case SUPV_PERCENT:
      return "percentage";
    case SUPV_INTEGER:
      return "integer";
    case SUPV_BOOLEAN:
      return "true|false";
    case SUPV_CHOICE:
      return "choice";
    case SUPV_LIST:
      return "text or list";
  }
  return "text";
}

/// Appends `text` from column `indent` on, broken between words.
void append_wrapped(std::string& out, std::size_t indent, std::string_view text) {
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + word.size() > kColumns) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  out += '\n';
}

void append_row(std::string& out, std::string_view name, std::string_view type,
                std::string_view meaning) {
  constexpr std::size_t kType = 16;
  constexpr std::size_t kMeaning = 34;
  const std::size_t start = out.size();
  const auto fill = [&](std::size_t column) {
    const std::size_t width = out.size() - start;
    out.append(width < column ? column - width : 1, ' ');
  };
  out += "  ";
  out += name;
  fill(kType);
  out += type;
  fill(kMeaning);
  if (out.size() - start > kMeaning) {  // A long type: the meaning begins on a line of its own.
    out += '\n';
    out.append(kMeaning, ' ');
  }
  append_wrapped(out, kMeaning, meaning);
}

std::string sample_value(const supv_option& option) {
  switch (option.type) {
    case SUPV_DURATION:
      return "5s";
    case SUPV_SIZE:
      return "300MB";
    case SUPV_PERCENT:
      return "50%";
    case SUPV_INTEGER:
      return "3";
    case SUPV_BOOLEAN:
      return "true";
    case SUPV_CHOICE: {
      const std::string_view choices = option.choices;
      return std::string(choices.substr(0, choices.find('|')));
    }
    case SUPV_TEXT:
    case SUPV_LIST:
      break;
  }
  return "...";
}

/// Every required option, else the first one.
std::string example(const supv_condition_descriptor& condition) {
  std::string options;
  for (std::uint32_t i = 0; i < condition.option_count; ++i) {
    const supv_option& option = condition.options[i];
    if (!option.required) continue;
    options +=
        (options.empty() ? "" : ", ") + std::string(option.name) + ": " + sample_value(option);
  }
  if (options.empty() && condition.option_count > 0) {
    options = std::string(condition.options[0].name) + ": " + sample_value(condition.options[0]);
  }
  const std::string name = condition.name;
  return options.empty() ? "- " + name : "- " + name + ": { " + options + " }";
}

void append_own_options(std::string& out, const supv_condition_descriptor& condition) {
  if (condition.option_count == 0) return;
  out += "\nOptions:\n";
  for (std::uint32_t i = 0; i < condition.option_count; ++i) {
    const supv_option& option = condition.options[i];
    const bool choice = option.type == SUPV_CHOICE && option.choices != nullptr;
    std::string meaning = option.help ? option.help : "";
    if (option.required) meaning += " Required.";
    if (option.fallback) meaning += " Default: " + std::string(option.fallback) + ".";
    append_row(out, option.name, choice ? option.choices : type_name(option.type), meaning);
  }
}

bool declares(const supv_condition_descriptor& condition, std::string_view option) {
  for (std::uint32_t i = 0; i < condition.option_count; ++i) {
    if (condition.options[i].name == option) return true;
  }
  return false;
}

void append_common_options(std::string& out, const supv_condition_descriptor& condition) {
  const supv_kind kind = condition.kind;
  out += "\nOptions of every condition:\n";
  append_row(out, "interval", "duration",
             kind == SUPV_CHANGE ? "Time between two samples in mode poll. Default: 5s."
             : kind == SUPV_EXIT ? "Without meaning here: it is told when it happens."
                                 : "Time between two polls. Default: `interval` of the watch.");
  if (!declares(condition, "times") && kind == SUPV_POLL) {
    append_row(out, "times", "integer or list",
               "3: acts when it is true three times in a row; [3, 5]: in three of the last five. "
               "Default: 1.");
  }
  if (!declares(condition, "timeout")) {
    append_row(out, "timeout", "duration",
               (condition.flags & SUPV_WAITS) != 0
                   ? "An answer that takes longer is unknown. Default: 10s."
                   : "An answer that takes longer is unknown. Default: 10s, where it has to ask.");
  }
  append_row(out, "notify", "text or list",
             "Contacts that are told when it acts, and when it is over.");
  append_row(out, "transition", "state",
             "Where it leads instead: up, start, restart, stop or unmonitored.");
  append_row(out, "splay", "duration", "Random delay, at most this, before acting. Default: 0s.");
  append_row(out, "id", "text", "Its name in status. Default: NAME#N.");
}

// --- what supvd does itself; here only declared ---

void* make_nothing(const supv_host*, char* error, std::size_t room) {
  std::snprintf(error, room, "supvd itself judges it");
  return nullptr;
}
void say_nothing(void*, const supv_event*, supv_verdict* verdict) {
  verdict->outcome = SUPV_UNKNOWN;
  verdict->reason = "supvd itself judges it";
}
void destroy_nothing(void*) {}

template <std::size_t Count>
constexpr supv_condition_descriptor declare(const char* name, const char* help,
                                            const supv_option (&options)[Count]) {
  return {SUPV_CONDITION_ABI,
          sizeof(supv_condition_descriptor),
          name,
          help,
          SUPV_POLL,
          options,
          Count,
          make_nothing,
          say_nothing,
          destroy_nothing,
          0,
          sizeof(supv_option)};
}

constexpr supv_option kParts[] = {
    {"conditions", SUPV_LIST, nullptr,
     "Conditions as in any list; each is asked by itself, with interval and times of its own.", 1,
     nullptr},
};
constexpr supv_condition_descriptor kAllOf =
    declare("all", "True while all of its conditions hold, unknown while one is and none is false.",
            kParts);
constexpr supv_condition_descriptor kAnyOf =
    declare("any", "True while one of its conditions holds.", kParts);
constexpr supv_condition_descriptor kNot =
    declare("not", "True while its condition is false; unknown stays unknown.", kParts);

constexpr supv_option kDegradingOptions[] = {
    {"command", SUPV_TEXT, nullptr, "Run as that of `exec` is.", 1, nullptr},
    {"fires_on", SUPV_CHOICE, "nonzero", "Which exit codes are a failure; see `exec`.", 0,
     "critical|warning|nonzero|zero"},
    {"times", SUPV_INTEGER, "3", "So many failures in a row.", 0, nullptr},
};
constexpr supv_condition_descriptor kDegrading =
    declare("degrading",
            "True when a command failed several times in a row; after each failure it is asked "
            "again twice as soon.",
            kDegradingOptions);

constexpr supv_option kFlappingOptions[] = {
    {"times", SUPV_INTEGER, "5", "So many deaths, failed starts and restarts of something wrong...",
     0, nullptr},
    {"within", SUPV_DURATION, "5m", "... within this.", 0, nullptr},
    {"retry_in", SUPV_DURATION, nullptr, "Tried again after this; unless written, never.", 0,
     nullptr},
    {"retry_times", SUPV_INTEGER, nullptr, "After so many retries...", 0, nullptr},
    {"retry_within", SUPV_DURATION, nullptr, "... within this, it is given up.", 0, nullptr},
};
constexpr supv_condition_descriptor kFlapping =
    declare("flapping", "In `lifecycle`: the key `flapping` of the watch, written as god has it.",
            kFlappingOptions);

/// Where the declaration alone makes no example that works.
std::string special_example(std::string_view name) {
  if (name == "all" || name == "any") {
    return "- " + std::string(name) +
           ": [ memory_usage: { above: 300MB }, cpu_usage: { above: 50% } ]";
  }
  if (name == "not") return "- not: { process_running: { running: true } }";
  if (name == "http_response_code") {
    return "- http_response_code: { url: http://127.0.0.1:3000/health, code_is_not: 200 }";
  }
  if (name == "schedule") return "- schedule: { cron: \"0 4 * * *\" }";
  if (name == "exec")
    return "- exec: { command: /usr/lib/nagios/plugins/check_disk -w 20% -c 10% }";
  if (name == "lua") return "- lua: { script: memory() > 300 * MB and uptime() > 60 }";
  if (name == "load_average") return "- load_average: { above: 8 }";
  if (name == "fd_usage") return "- fd_usage: { above: 80% }";
  return {};
}

}  // namespace

bool judged_by_supvd(const supv_condition_descriptor& condition) {
  return condition.create == make_nothing;
}

const std::vector<const supv_condition_descriptor*>& builtin_conditions() {
  static const std::vector<const supv_condition_descriptor*> kAll = {
      &kAllOf,
      &supv_condition_always,
      &kAnyOf,
      &supv_condition_certificate_expiry,
      &supv_condition_consul_kv,
      &supv_condition_cpu_usage,
      &kDegrading,
      &supv_condition_disk_usage,
      &supv_condition_exec,
      &supv_condition_fd_usage,
      &supv_condition_file_mtime,
      &supv_condition_file_touched,
      &kFlapping,
      &supv_condition_http_response_code,
      &supv_condition_load_average,
      &supv_condition_log_match,
      &supv_condition_lua,
      &supv_condition_memory_usage,
      &kNot,
      &supv_condition_oom_killed,
      &supv_condition_pressure,
      &supv_condition_process_exits,
      &supv_condition_process_running,
      &supv_condition_schedule,
      &supv_condition_socket_responding,
      &supv_condition_threads,
      &supv_condition_tries,
  };
  return kAll;
}

std::string describe_condition(const supv_condition_descriptor& condition) {
  std::string out;
  append_wrapped(out, 0, std::string(condition.name) + ": " + condition.help);
  const std::string special = special_example(condition.name);
  out += "\n  " + (special.empty() ? example(condition) : special) + "\n";
  append_own_options(out, condition);
  append_common_options(out, condition);
  return out;
}

}  // namespace supv
