#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/import_god_parts.h"
#include "app/import_god_shell.h"
#include "base/units.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

/// What god knows of a watch; anything else in a file is a slip or of another version.
constexpr std::array kKnown = {
    "name",        "group",         "interval",     "autostart",    "start",   "stop",
    "restart",     "pid_file",      "dir",          "cwd",          "env",     "uid",
    "gid",         "chroot",        "umask",        "log",          "log_cmd", "err_log",
    "err_log_cmd", "unix_socket",   "stop_signal",  "stop_timeout", "grace",   "start_grace",
    "stop_grace",  "restart_grace", "valid_states", "initial_state"};

/// One watch on its way to YAML.
class WatchConverter {
 public:
  WatchConverter(const RecordedWatch& watch, Room& room) : watch_(watch), room_(room) {}

  Yaml convert() {
    room_.pid_file = text_of(watch_.get("pid_file"));
    if (room_.pid_file.empty()) find_pid_file();
    room_.interval = watch_.get("interval");
    out_.comment = "from " + place_text(watch_.spot);
    read_start();
    put_text("group");
    if (const Yaml* group = out_.find("group")) {
      out_.set("group", literal(valid_watch_name(group->text)));
    }
    put_dir();
    put_env();
    put_text("uid");
    if (out_.find("uid") == nullptr && !start_.uid.empty()) out_.set("uid", literal(start_.uid));
    put_text("gid");
    put_umask();
    put_text("chroot");
    put_commands();
    put_pid_file();
    put_stop();
    put_flags();
    put_logs();
    convert_behaviors(watch_, room_, out_);
    convert_lifecycle(watch_, room_, out_);
    report_unknown();
    return std::move(out_);
  }

 private:
  Spot at(std::string_view name) const { return watch_.where(name); }

  void put_text(const char* key) {
    const std::string text = text_of(watch_.get(key));
    if (!text.empty()) out_.set(key, literal(text));
  }

  /// God's first versions named it at the conditions.
  void find_pid_file() {
    for (const Metric& metric : watch_.metrics) {
      for (const Thing& each : metric.conditions) {
        const std::string file = text_of(each.get("pid_file"));
        if (file.empty() || !room_.pid_file.empty()) continue;
        room_.pid_file = file;
        room_.notes.review(each.spot, fmt::format("pid_file: {} was taken from the conditions, "
                                                  "which look at it",
                                                  file));
      }
    }
  }

  void read_start() {
    const Value& start = watch_.get("start");
    if (!start.is(Kind::text)) return;
    start_ = clean_start(start.text);
    if (start_.background) {
      room_.notes.changed(at("start"), "start: it no longer puts itself into the background (&)");
    }
    if (start_.sidekiq) {
      room_.notes.review(at("start"),
                         "start: Sidekiq's -d, -P and -L are gone (version 6 has none "
                         "of them); from 6 on, `ready: {notify: true}` tells when it "
                         "is up");
    }
    if (!start_.uid.empty()) {
      room_.notes.review(at("start"), "start: sudo became `uid`, which needs supvd to be root");
    }
  }

  // --- surroundings -------------------------------------------------------------------------
  void put_dir() {
    const Value& own = watch_.get("dir").present() ? watch_.get("dir") : watch_.get("cwd");
    std::string dir = text_of(own);
    if (!start_.dir.empty()) {
      dir = start_.dir.starts_with('/') || dir.empty() ? start_.dir : dir + '/' + start_.dir;
    }
    if (dir.empty()) return;
    if (!dir.starts_with('/')) {
      room_.notes.review(at("dir"),
                         "dir is relative: to where god was started; here to the folder "
                         "of the watch file");
    }
    out_.set("dir", literal(dir));
    dir_ = dir;
  }

  void put_env() {
    Yaml env = map();
    for (const auto& [name, value] : watch_.get("env").pairs) {
      const bool flag = value.is(Kind::boolean);
      env.set(text_of(name), literal(flag ? (value.truth ? "true" : "false") : text_of(value)));
      if (!flag && !value.is_word() && !value.is(Kind::number)) {
        room_.notes.review(at("env"), fmt::format("env: {} has no value that is a text; it is "
                                                  "empty here",
                                                  text_of(name)));
      }
    }
    for (const auto& [name, value] : start_.env) env.set(name, literal(value));
    if (!env.entries.empty()) out_.set("env", env);
  }

  void put_umask() {
    const Value& umask = watch_.get("umask");
    if (!umask.is(Kind::number)) return;
    Yaml text = literal(fmt::format("{:04o}", static_cast<unsigned>(umask.number)));
    out_.set("umask", text);
  }

  // --- commands -----------------------------------------------------------------------------
  void put_commands() {
    const Value& start = watch_.get("start");
    if (start.is(Kind::text)) {
      out_.set("start", literal(start_.command));
    } else if (const auto command = ruby_command(start)) {
      out_.set("start", review_command(*command, start, "start"));
    } else {
      room_.notes.lost(at("start"), "it has no start command");
      Yaml none = list({word("/bin/false")});
      none.comment = "REVIEW: the file has no start command";
      out_.set("start", none);
    }
    put_restart();
  }

  Yaml review_command(Yaml command, const Value& code, const char* key) {
    std::string text = fmt::format("{}: its lambda became a Ruby command of its own", key);
    for (const std::string& name : code.unsure) text += fmt::format("; it misses {}", name);
    room_.notes.review(at(key), text);
    command.comment = "REVIEW: the lambda of " + place_text(code.spot);
    return command;
  }

  void put_restart() {
    const Value& restart = watch_.get("restart");
    if (const auto command = ruby_command(restart)) {
      out_.set("restart", review_command(*command, restart, "restart"));
      return;
    }
    if (!restart.is(Kind::text) || restart.text.empty()) return;
    const auto steps = signal_steps(restart.text);
    if (steps.size() == 1 && !writes_pid_file()) {
      out_.set("reload", word(steps[0].signal));
      room_.notes.review(at("restart"),
                         "restart sends a signal by god's pid file, which supv does not write: it "
                         "became `reload`, and a restart is a stop and a start");
      return;
    }
    out_.set("restart", literal(tidy(restart.text)));
  }

  /// The program writes a pid file by itself.
  bool writes_pid_file() const { return !room_.pid_file.empty() && !start_.sidekiq; }

  void put_pid_file() {
    std::string adopt = room_.pid_file;
    if (writes_pid_file()) {
      out_.set("pid_file", literal(room_.pid_file));
      if (!room_.pid_file.starts_with('/')) {
        room_.notes.review(at("pid_file"),
                           "pid_file is relative: to where god was started; here "
                           "to dir");
      }
    }
    if (adopt.empty()) adopt = pid_directory() + '/' + text_of(watch_.get("name")) + ".pid";
    out_.set("adopt", literal(adopt));
    put_text("unix_socket");
  }

  std::string pid_directory() const {
    for (const Setting& setting : room_.recording.globals) {
      if (setting.name == "pid_file_directory" && setting.value.is(Kind::text)) {
        return setting.value.text;
      }
    }
    return room_.recording.root ? "/var/run/god" : room_.recording.home + "/.god/pids";
  }

  // --- stopping -----------------------------------------------------------------------------
  void put_stop() {
    const Value& stop = watch_.get("stop");
    const auto timeout = duration(watch_.get("stop_timeout"));
    if (const auto command = ruby_command(stop)) {
      out_.set("stop", review_command(*command, stop, "stop"));
    } else if (stop.is(Kind::text) && stop.text.find_first_not_of(" \t\n") == std::string::npos) {
      room_.notes.changed(at("stop"),
                          "stop: an empty command made god wait for stop_timeout and "
                          "kill; supv sends TERM first");
    } else if (stop.is(Kind::text) && !put_signals(signal_steps(stop.text))) {
      out_.set("stop", literal(tidy(stop.text)));
      if (stop.text.find("killall") != std::string::npos ||
          stop.text.find("pkill") != std::string::npos) {
        room_.notes.review(at("stop"),
                           "stop: pkill and killall also end processes that are not "
                           "the watch's; without `stop`, supv ends its whole tree");
      }
    }
    if (out_.find("stop_sequence") != nullptr) return;
    const std::string signal = text_of(watch_.get("stop_signal"));
    if (const auto number = parse_signal(signal)) {
      out_.set("stop_signal", word(signal_name(*number)));
    } else if (!signal.empty()) {
      room_.notes.lost(at("stop_signal"), fmt::format("stop_signal {} is no signal", signal));
    }
    if (timeout) {
      out_.set("stop_timeout", *timeout);
    } else {
      room_.notes.changed(watch_.spot,
                          "stop_timeout: supv waits 30s before KILL where god waited "
                          "10s, and ends the whole tree, not one process");
    }
  }

  /// `kill` by pid file is what supv does by itself.
  bool put_signals(const std::vector<SignalStep>& steps) {
    if (steps.empty()) return false;
    if (steps.size() == 1) {
      out_.set("stop_signal", word(steps[0].signal));
      return true;
    }
    const Value& timeout = watch_.get("stop_timeout");
    const double seconds = timeout.is(Kind::number) ? timeout.number : 10;
    Yaml ladder = list();
    for (const SignalStep& step : steps) {
      const Duration last{static_cast<std::int64_t>(seconds * 1000)};
      const Duration wait = step.wait.count() > 0 ? step.wait : last;
      const bool kill = step.signal == "KILL";
      ladder.items.push_back(word(kill ? "KILL" : step.signal + " " + format_duration(wait)));
    }
    if (ladder.items.back().text != "KILL") ladder.items.push_back(word("KILL"));
    out_.set("stop_sequence", ladder);
    return true;
  }

  // --- the rest -----------------------------------------------------------------------------
  void put_flags() {
    if (watch_.get("autostart").is(Kind::boolean) && !watch_.get("autostart").truth) {
      out_.set("autostart", word("false"));
    }
    if (const auto interval = duration(watch_.get("interval"))) out_.set("interval", *interval);
    for (const char* key : {"grace", "start_grace", "stop_grace", "restart_grace"}) {
      const auto grace = duration(watch_.get(key));
      if (!grace || grace->text == "0s") continue;
      out_.set(key, *grace);
      room_.notes.changed(at(key),
                          "grace: god slept that long and answered nothing; supv only "
                          "suspends the judging of conditions");
    }
  }

  void put_logs() {
    const auto put = [&](const char* key, const std::string& redirected) {
      std::string file = text_of(watch_.get(key));
      if (file.empty()) file = redirected;
      if (file.empty()) return;
      if (!file.starts_with('/') && dir_.starts_with('/')) file = dir_ + '/' + file;
      out_.set(key, literal(file));
    };
    put("log", start_.log);
    put("err_log", start_.err_log);
    for (const char* key : {"log_cmd", "err_log_cmd"}) {
      const std::string command = text_of(watch_.get(key));
      if (command.empty()) continue;
      room_.notes.lost(at(key),
                       fmt::format("{}: output goes to a file and not to `{}`", key, command));
    }
    if (out_.find("log") == nullptr && !watch_.get("log_cmd").present()) {
      room_.notes.changed(watch_.spot,
                          "log: god dropped the output of a watch without `log`, supv "
                          "keeps it in LOG_DIR/NAME.log");
    }
  }

  void report_unknown() {
    for (const auto& [name, value] : watch_.attributes) {
      if (std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end()) continue;
      room_.notes.lost(at(name), fmt::format("god has no attribute {}", name));
    }
  }

  const RecordedWatch& watch_;
  Room& room_;
  Yaml out_ = map();
  CleanCommand start_;
  std::string dir_;
};

}  // namespace

Yaml convert_watch(const RecordedWatch& watch, Room& room) {
  return WatchConverter(watch, room).convert();
}

}  // namespace supv::import_god
