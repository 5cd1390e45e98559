#include "core/definition.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace supv {
namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : std::string(between)) + part;
  return text;
}

/// A word as a shell would want it.
std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%^";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string command_text(const Command& command) {
  std::vector<std::string> words;
  for (const std::string& word : command.argv) words.push_back(quoted(word));
  return joined(words, " ");
}

std::string ladder_text(const std::vector<LadderStep>& ladder) {
  std::vector<std::string> steps;
  for (const LadderStep& step : ladder) {
    std::string text = signal_name(step.signal);
    if (step.wait.count() > 0) text += " " + format_duration(step.wait);
    steps.push_back(std::move(text));
  }
  return joined(steps, ", ");
}

std::string ready_text(const WatchSpec& spec) {
  switch (spec.ready.kind) {
    case ReadySpec::Kind::alive:
      return "";
    case ReadySpec::Kind::notify:
      return "notify: true";
    case ReadySpec::Kind::after:
      return "after: " + format_duration(spec.ready.after);
    case ReadySpec::Kind::tcp:
      return "tcp: " + spec.ready.target;
    case ReadySpec::Kind::file:
      return "file: " + spec.ready.target;
    case ReadySpec::Kind::condition:
      return "a transition to up";
  }
  return "";
}

std::string condition_text(const ConditionSpec& condition) {
  std::vector<std::string> options;
  for (const auto& [name, value] : condition.options)
    if (!value.empty()) options.push_back(fmt::format("{}: {}", name, value));
  if (condition.times.of > 1)
    options.push_back(fmt::format("times: [{}, {}]", condition.times.fires, condition.times.of));
  if (condition.kind == ConditionKind::poll)
    options.push_back("interval: " + format_duration(condition.interval));
  if (condition.splay.count() > 0) options.push_back("splay: " + format_duration(condition.splay));
  return fmt::format("{}: {{{}}}", condition.name, joined(options, ", "));
}

const char* list_name(ConditionList list) {
  switch (list) {
    case ConditionList::keepalive:
      return "keepalive";
    case ConditionList::start_if:
      return "start_if";
    case ConditionList::restart_if:
      return "restart_if";
    case ConditionList::stop_if:
      return "stop_if";
    case ConditionList::reload_if:
      return "reload_if";
    case ConditionList::unmonitor_if:
      return "unmonitor_if";
    case ConditionList::notify_if:
      return "notify_if";
    case ConditionList::transitions:
      return "transitions";
    case ConditionList::lifecycle:
      return "lifecycle";
  }
  return "";
}

/// "from start, restart to up: "; where a transition's condition leads.
std::string way_of(const ConditionSpec& condition) {
  constexpr std::pair<std::uint8_t, const char*> kPhases[] = {{phase::kInit, "init"},
                                                              {phase::kStarting, "start"},
                                                              {phase::kRestarting, "restart"},
                                                              {phase::kUp, "up"},
                                                              {phase::kRest, "stop"}};
  std::vector<std::string> from;
  for (const auto& [bit, name] : kPhases)
    if ((condition.phases & bit) != 0) from.emplace_back(name);
  std::string to = condition.action == Action::none ? "" : action_name(condition.action);
  if (condition.otherwise)
    to +=
        fmt::format("{}when false: {}", to.empty() ? "" : ", ", action_name(*condition.otherwise));
  return fmt::format("from {} to {}: ", joined(from, ", "), to);
}

std::string text_of(const WatchSpec& spec, const ConditionSpec& condition) {
  if (condition.parent < 0)
    return (condition.list == ConditionList::transitions ? way_of(condition) : "") +
           condition_text(condition);
  const ConditionSpec& whole = spec.conditions[static_cast<std::size_t>(condition.parent)];
  return fmt::format("part of {}: {}", whole.id, condition_text(condition));
}

/// Collects what is not as it would be without being written.
class Definition {
 public:
  void text(const char* key, std::string value) {
    if (!value.empty()) settings_.push_back({key, std::move(value)});
  }
  void command(const char* key, const std::optional<Command>& command) {
    if (command) text(key, command_text(*command));
  }
  void flag(const char* key, bool value, bool usual) {
    if (value != usual) text(key, value ? "true" : "false");
  }
  void duration(const char* key, Duration value, Duration usual) {
    if (value != usual) text(key, format_duration(value));
  }
  std::vector<Setting> take() { return std::move(settings_); }

 private:
  std::vector<Setting> settings_;
};

void add_process(Definition& all, const ProcessSpec& process) {
  all.text("start", command_text(process.start));
  all.text("dir", process.dir == "/" ? "" : process.dir);
  std::vector<std::string> names;
  for (const auto& [name, value] : process.env) names.push_back(name);
  all.text("env", joined(names, ", "));
  all.text("env_file", joined(process.env_files, ", "));
  all.flag("clean_env", process.clean_env, false);
  all.text("uid", process.uid);
  all.text("gid", process.gid);
  if (process.umask) all.text("umask", fmt::format("{:04o}", *process.umask));
  all.text("chroot", process.chroot);
  all.text("pid_file", process.pid_file);
  all.text("kill", process.whole_tree ? "" : "process");
}

void add_stopping(Definition& all, const WatchSpec& spec, const RareSpec& rare) {
  all.command("stop", rare.stop);
  all.text("stop_sequence", ladder_text(spec.ladder));
  all.command("restart", rare.restart);
  all.command("reload", rare.reload);
  if (rare.reload_signal != 0) all.text("reload", signal_name(rare.reload_signal));
}

void add_policy(Definition& all, const WatchSpec& spec, const RareSpec& rare) {
  const WatchSpec usual;
  all.duration("start_timeout", spec.start_timeout, usual.start_timeout);
  all.text("ready", ready_text(spec));
  all.duration("watchdog", spec.watchdog, usual.watchdog);
  all.flag("autostart", spec.autostart, true);
  all.flag("keepalive", spec.keepalive, true);
  if (!(spec.backoff == usual.backoff))
    all.text("backoff",
             fmt::format("initial: {}, max: {}, factor: {}, jitter: {}%, reset_after: {}",
                         format_duration(spec.backoff.initial), format_duration(spec.backoff.max),
                         spec.backoff.factor, spec.backoff.jitter,
                         format_duration(spec.backoff.reset_after)));
  if (rare.flapping)
    all.text("flapping", fmt::format("times: {}, within: {}, retry_in: {}", rare.flapping->times,
                                     format_duration(rare.flapping->within),
                                     format_duration(rare.flapping->retry_in)));
  all.duration("grace", spec.grace, usual.grace);
  all.duration("start_grace", spec.start_grace, usual.start_grace);
  all.duration("stop_grace", spec.stop_grace, usual.stop_grace);
  all.duration("restart_grace", spec.restart_grace, usual.restart_grace);
}

void add_rare(Definition& all, const RareSpec& rare) {
  std::vector<std::string> behaviors;
  if (rare.clean_pid_file) behaviors.emplace_back("clean_pid_file");
  if (rare.clean_unix_socket) behaviors.emplace_back("clean_unix_socket");
  if (rare.flapping_notice)
    behaviors.push_back(fmt::format("notify_when_flapping: failures: {}, within: {}",
                                    rare.flapping_notice->failures,
                                    format_duration(rare.flapping_notice->within)));
  all.text("behaviors", joined(behaviors, ", "));
  all.text("unix_socket", rare.unix_socket);
  all.text("notify", joined(rare.notify.contacts, ", "));
  all.text("adopt", rare.adopt);
  if (!rare.task) return;
  all.duration("timeout", rare.task->timeout, Duration(0));
  if (rare.task->retry > 0) all.text("retry", std::to_string(rare.task->retry));
}

}  // namespace

std::vector<Setting> definition_of(const WatchSpec& spec) {
  const RareSpec none;
  const RareSpec& rare = spec.rare ? *spec.rare : none;
  Definition all;
  add_process(all, spec.process);
  add_stopping(all, spec, rare);
  add_policy(all, spec, rare);
  for (const ConditionSpec& condition : spec.conditions)
    all.text(list_name(condition.list), text_of(spec, condition));
  add_rare(all, rare);
  all.command("before_start", rare.hooks.before_start);
  all.command("after_start", rare.hooks.after_start);
  all.command("before_stop", rare.hooks.before_stop);
  all.command("after_stop", rare.hooks.after_stop);
  all.command("before_restart", rare.hooks.before_restart);
  all.command("after_restart", rare.hooks.after_restart);
  return all.take();
}

}  // namespace supv
