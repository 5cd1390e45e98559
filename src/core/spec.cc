#include "core/spec.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace supv {
namespace {

/// A watch without rare keys says the same as one whose rare keys all have their defaults.
const RareSpec& rare_of(const WatchSpec& spec) {
  static const RareSpec kNone;
  return spec.rare ? *spec.rare : kNone;
}

bool same_conditions(const WatchSpec& a, const WatchSpec& b, ConditionList list) {
  const auto next = [list](auto at, auto end) {
    return std::find_if(at, end, [list](const ConditionSpec& c) { return c.list == list; });
  };
  auto left = next(a.conditions.begin(), a.conditions.end());
  auto right = next(b.conditions.begin(), b.conditions.end());
  while (left != a.conditions.end() && right != b.conditions.end()) {
    if (!(*left == *right)) return false;
    left = next(left + 1, a.conditions.end());
    right = next(right + 1, b.conditions.end());
  }
  return left == a.conditions.end() && right == b.conditions.end();
}

/// Collects the names of the keys that differ.
class Differences {
 public:
  template <typename Value>
  void compare(std::string_view key, const Value& a, const Value& b) {
    note(key, a == b);
  }
  void note(std::string_view key, bool same) {
    if (!same) keys_.emplace_back(key);
  }
  std::vector<std::string> take() { return std::move(keys_); }

 private:
  std::vector<std::string> keys_;
};

void compare_process(Differences& differ, const ProcessSpec& a, const ProcessSpec& b) {
  differ.compare("start", a.start, b.start);
  differ.compare("pid_file", a.pid_file, b.pid_file);
  differ.compare("kill", a.whole_tree, b.whole_tree);
  differ.compare("dir", a.dir, b.dir);
  differ.compare("env", a.env, b.env);
  differ.compare("env_file", a.env_files, b.env_files);
  differ.compare("clean_env", a.clean_env, b.clean_env);
  differ.compare("uid", a.uid, b.uid);
  differ.compare("gid", a.gid, b.gid);
  differ.compare("umask", a.umask, b.umask);
  differ.compare("chroot", a.chroot, b.chroot);
  differ.compare("log", a.log, b.log);
  differ.compare("err_log", a.err_log, b.err_log);
}

/// The ladder comes from `stop_sequence`, or else from `stop_signal` and `stop_timeout`; where it
/// says nothing beyond those two they are named instead.
void compare_stopping(Differences& differ, const WatchSpec& a, const WatchSpec& b) {
  const auto plain = [](const WatchSpec& spec) {
    return spec.ladder.size() == 2 && spec.ladder.front().wait == spec.stop_timeout;
  };
  if (plain(a) && plain(b)) {
    differ.compare("stop_signal", a.ladder.front().signal, b.ladder.front().signal);
    differ.compare("stop_timeout", a.stop_timeout, b.stop_timeout);
    return;
  }
  differ.compare("stop_timeout", a.stop_timeout, b.stop_timeout);
  differ.compare("stop_sequence", a.ladder, b.ladder);
}

void compare_conditions(Differences& differ, const WatchSpec& a, const WatchSpec& b) {
  constexpr std::pair<const char*, ConditionList> kLists[] = {
      {"start_if", ConditionList::start_if},         {"restart_if", ConditionList::restart_if},
      {"stop_if", ConditionList::stop_if},           {"reload_if", ConditionList::reload_if},
      {"unmonitor_if", ConditionList::unmonitor_if}, {"notify_if", ConditionList::notify_if},
      {"transitions", ConditionList::transitions},   {"lifecycle", ConditionList::lifecycle}};
  for (const auto& [key, list] : kLists) differ.note(key, same_conditions(a, b, list));
}

}  // namespace

const char* action_name(Action action) {
  switch (action) {
    case Action::start:
      return "start";
    case Action::restart:
      return "restart";
    case Action::stop:
      return "stop";
    case Action::reload:
      return "reload";
    case Action::notify:
      return "notify";
    case Action::unmonitor:
      return "unmonitor";
    case Action::up:
      return "up";
    case Action::none:
      return "";
  }
  return "";
}

bool same_spec(const WatchSpec& a, const WatchSpec& b) {
  return a.name == b.name && a.conditions == b.conditions && changed_keys(a, b).empty();
}

std::vector<std::string> changed_keys(const WatchSpec& a, const WatchSpec& b) {
  Differences differ;
  const RareSpec& ra = rare_of(a);
  const RareSpec& rb = rare_of(b);
  differ.compare("groups", a.groups, b.groups);
  differ.compare("labels", ra.labels, rb.labels);
  compare_process(differ, a.process, b.process);
  differ.compare("stop", ra.stop, rb.stop);
  differ.compare("restart", ra.restart, rb.restart);
  differ.note("reload", ra.reload == rb.reload && ra.reload_signal == rb.reload_signal);
  differ.compare("start_timeout", a.start_timeout, b.start_timeout);
  compare_stopping(differ, a, b);
  differ.compare("ready", a.ready, b.ready);
  differ.compare("watchdog", a.watchdog, b.watchdog);
  differ.compare("autostart", a.autostart, b.autostart);
  differ.compare("essential", a.essential, b.essential);
  differ.note("keepalive",
              a.keepalive == b.keepalive && same_conditions(a, b, ConditionList::keepalive));
  differ.compare("backoff", a.backoff, b.backoff);
  differ.compare("flapping", ra.flapping, rb.flapping);
  differ.compare("grace", a.grace, b.grace);
  differ.compare("start_grace", a.start_grace, b.start_grace);
  differ.compare("stop_grace", a.stop_grace, b.stop_grace);
  differ.compare("restart_grace", a.restart_grace, b.restart_grace);
  compare_conditions(differ, a, b);
  differ.compare("hooks", ra.hooks, rb.hooks);
  differ.compare("notify", ra.notify, rb.notify);
  differ.compare("unix_socket", ra.unix_socket, rb.unix_socket);
  differ.note("behaviors", ra.clean_pid_file == rb.clean_pid_file &&
                               ra.clean_unix_socket == rb.clean_unix_socket &&
                               ra.flapping_notice == rb.flapping_notice);
  differ.compare("adopt", ra.adopt, rb.adopt);
  differ.compare("task", ra.task, rb.task);
  return differ.take();
}

}  // namespace supv
