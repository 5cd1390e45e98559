#include "conditions/catalog.h"

#include <string_view>

extern "C" {
extern const supv_condition_descriptor supv_condition_always;
extern const supv_condition_descriptor supv_condition_certificate_expiry;
extern const supv_condition_descriptor supv_condition_consul_kv;
extern const supv_condition_descriptor supv_condition_cpu_usage;
extern const supv_condition_descriptor supv_condition_disk_usage;
extern const supv_condition_descriptor supv_condition_file_mtime;
extern const supv_condition_descriptor supv_condition_file_touched;
extern const supv_condition_descriptor supv_condition_log_match;
extern const supv_condition_descriptor supv_condition_memory_usage;
extern const supv_condition_descriptor supv_condition_process_exits;
extern const supv_condition_descriptor supv_condition_process_running;
extern const supv_condition_descriptor supv_condition_socket_responding;
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
  append_row(out, "times", "integer or list",
             "3: acts when it is true three times in a row; [3, 5]: in three of the last five. "
             "Default: 1.");
  if (!declares(condition, "timeout")) {
    append_row(out, "timeout", "duration",
               (condition.flags & SUPV_WAITS) != 0
                   ? "An answer that takes longer is unknown. Default: 10s."
                   : "An answer that takes longer is unknown.");
  }
  append_row(out, "splay", "duration", "Random delay, at most this, before acting. Default: 0s.");
  append_row(out, "id", "text", "Its name in status. Default: NAME#N.");
}

}  // namespace

const std::vector<const supv_condition_descriptor*>& builtin_conditions() {
  static const std::vector<const supv_condition_descriptor*> kAll = {
      &supv_condition_always,          &supv_condition_certificate_expiry,
      &supv_condition_consul_kv,       &supv_condition_cpu_usage,
      &supv_condition_disk_usage,      &supv_condition_file_mtime,
      &supv_condition_file_touched,    &supv_condition_log_match,
      &supv_condition_memory_usage,    &supv_condition_process_exits,
      &supv_condition_process_running, &supv_condition_socket_responding,
  };
  return kAll;
}

std::string describe_condition(const supv_condition_descriptor& condition) {
  std::string out;
  append_wrapped(out, 0, std::string(condition.name) + ": " + condition.help);
  out += "\n  " + example(condition) + "\n";
  append_own_options(out, condition);
  append_common_options(out, condition);
  return out;
}

}  // namespace supv
