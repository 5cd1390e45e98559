#include "config/schema.h"

#include <array>

#include "config/contact_kinds.h"

namespace supv {
namespace {

using T = KeyType;

constexpr std::array kHooks = {
    Key{"before_start", T::command, "Before a start; if it fails, the start has failed."},
    Key{"after_start", T::command, "After the watch came up."},
    Key{"before_stop", T::command, "Before the first signal of a stop."},
    Key{"after_stop", T::command, "After everything of the run is gone."},
    Key{"before_restart", T::command, "Before a restart."},
    Key{"after_restart", T::command, "After the restarted watch came up."},
};
constexpr Level kHooksLevel = {"hooks", kHooks};

constexpr std::array kReady = {
    Key{"notify", T::boolean, "The process says READY=1 by the sd_notify protocol."},
    Key{"after", T::duration, "It has stayed alive this long."},
    Key{"tcp", T::text, "HOST:PORT accepts connections."},
    Key{"file", T::text, "The file exists; relative to dir."},
};
constexpr Level kReadyLevel = {"ready", kReady};

constexpr std::array kKeepalive = {
    Key{"interval", T::duration, "How often memory and CPU are looked at (5s)."},
    Key{"memory_max", T::text, "Restart when the tree's memory (PSS) is above this size."},
    Key{"memory_times", T::times, "How often it must be above ([3, 5])."},
    Key{"cpu_max", T::percent, "Restart when the tree's CPU is above this; 100% is one core."},
    Key{"cpu_times", T::times, "How often it must be above ([3, 5])."},
};
constexpr Level kKeepaliveLevel = {"keepalive", kKeepalive};

constexpr std::array kBackoff = {
    Key{"initial", T::duration, "Wait before the second restart in a row (500ms)."},
    Key{"max", T::duration, "Longest wait (60s)."},
    Key{"factor", T::number, "Each wait is this many times the one before (2)."},
    Key{"jitter", T::percent, "Random part of each wait (20%)."},
    Key{"reset_after", T::duration, "A run this long ends the row (60s)."},
};
constexpr Level kBackoffLevel = {"backoff", kBackoff};

constexpr std::array kFlapping = {
    Key{"times", T::integer, "This many failures (5) ..."},
    Key{"within", T::duration, "... within this time (5m) take the watch out."},
    Key{"retry_in", T::duration, "Try again after this time; never unless written."},
    Key{"retry_times", T::integer, "Give up after this many retries ..."},
    Key{"retry_within", T::duration, "... within this time."},
    Key{"notify", T::notify, "Who is told (the watch's notify)."},
};
constexpr Level kFlappingLevel = {"flapping", kFlapping};

constexpr auto with_gods() {
  std::array<Key, kFlapping.size() + 3> keys{};
  for (std::size_t i = 0; i < kFlapping.size(); ++i) keys[i] = kFlapping[i];
  keys[kFlapping.size()] = {"from_state", T::texts, "As in god; what counts is fixed here."};
  keys[kFlapping.size() + 1] = {"to_state", T::texts, "As in god: [start, restart]."};
  keys[kFlapping.size() + 2] = {"transition", T::text, "As in god: unmonitored."};
  return keys;
}
constexpr std::array kFlappingCondition = with_gods();
constexpr Level kFlappingConditionLevel = {"flapping", kFlappingCondition};

constexpr std::array kFlappingNotice = {
    Key{"failures", T::integer, "This many starts (5) ..."},
    Key{"within", T::duration, "... within this time (1m) are told of."},
    Key{"notify", T::notify, "Whom (the watch's notify)."},
};
constexpr Level kFlappingNoticeLevel = {"notify_when_flapping", kFlappingNotice};

constexpr std::array kCondition = {
    Key{"interval", T::duration, "How often it is asked (the watch's interval)."},
    Key{"times", T::times, "N: true this often in a row; [N, M]: N of the last M (1)."},
    Key{"timeout", T::duration, "An answer that takes longer is unknown."},
    Key{"splay", T::duration, "Wait a random time up to this before acting (0s)."},
    Key{"notify", T::notify, "Who is told when it acts, and when it is over."},
    Key{"transition", T::choice, "Where it leads instead.", nullptr,
        "up|start|restart|stop|unmonitored"},
    Key{"id", T::text, "Its name in status (NAME#N)."},
};
constexpr Level kConditionLevel = {"a condition", kCondition};

constexpr std::array kTransition = {
    Key{"from", T::states, "init, start, restart, up or stop; or a list of them. Required."},
    Key{"to", T::states,
        "up, start, restart, stop or unmonitored; or {true: STATE, false: STATE}. Required."},
    Key{"if", T::conditions, "One of these is true; always, if not written."},
};
constexpr Level kTransitionLevel = {"a transition", kTransition};

constexpr std::array kTask = {
    Key{"run", T::command, "The command. Required."},
    Key{"if", T::conditions, "It is run when one of these is true. Required."},
    Key{"interval", T::duration, "Default interval of its conditions (30s)."},
    Key{"timeout", T::duration, "The command is ended after this (never)."},
    Key{"retry", T::integer, "A command that fails is repeated this often (0)."},
    Key{"max_parallel", T::integer, "Commands at a time (1)."},
    Key{"notify", T::notify, "Who is told of its runs."},
    Key{"dir", T::text, "Working directory; relative to this file (/)."},
    Key{"env", T::text_map, "Environment variables, on top of supvd's own."},
    Key{"env_file", T::texts, "Files of NAME=VALUE lines, read at each run."},
    Key{"clean_env", T::boolean, "Start from a minimal environment instead of supvd's (false)."},
    Key{"uid", T::text, "User name or number to run as."},
    Key{"gid", T::text, "Group name or number to run as."},
    Key{"umask", T::octal, "File mode mask, quoted: \"0022\"."},
    Key{"chroot", T::text, "Root directory of the command."},
    Key{"log", T::text, "File for its output (LOG_DIR/NAME.log)."},
    Key{"err_log", T::text, "File for its standard error (as log)."},
    Key{"group", T::text, "A name that commands accept for all its members."},
    Key{"groups", T::texts, "Several such names."},
};
constexpr Level kTaskLevel = {"a task", kTask};

constexpr std::array kWatch = {
    Key{"extends", T::text, "A ready-made watch, or another watch of this file, to start from."},
    Key{"start", T::command, "The command that is supervised. Required."},
    Key{"stop", T::command, "Command that stops it, before the signals."},
    Key{"restart", T::command, "Command that restarts it in place."},
    Key{"reload", T::reload, "Command or signal that makes it re-read its configuration."},
    Key{"dir", T::text, "Working directory; relative to this file (/)."},
    Key{"env", T::text_map, "Environment variables, on top of supvd's own."},
    Key{"env_file", T::texts, "Files of NAME=VALUE lines, read at each start."},
    Key{"clean_env", T::boolean, "Start from a minimal environment instead of supvd's (false)."},
    Key{"uid", T::text, "User name or number to run as."},
    Key{"gid", T::text, "Group name or number to run as."},
    Key{"umask", T::octal, "File mode mask, quoted: \"0022\"."},
    Key{"chroot", T::text, "Root directory of the process."},
    Key{"log", T::text, "File for its output (LOG_DIR/NAME.log)."},
    Key{"err_log", T::text, "File for its standard error (as log)."},
    Key{"pid_file", T::text, "Written by a start command that daemonises itself."},
    Key{"start_timeout", T::duration, "To become ready or write the pid file (30s)."},
    Key{"stop_signal", T::signal, "First signal of a stop (TERM)."},
    Key{"stop_timeout", T::duration, "Wait before KILL, and time for a stop command (30s)."},
    Key{"stop_sequence", T::ladder, "All signals of a stop: [TSTP 5s, TERM 25s, KILL]."},
    Key{"kill", T::choice, "What a stop ends: the whole tree, or only the process (tree).", nullptr,
        "tree|process"},
    Key{"keepalive", T::keepalive, "Start it again when it ends (true); limits of memory and CPU.",
        &kKeepaliveLevel},
    Key{"interval", T::duration, "Default interval of its conditions (30s)."},
    Key{"autostart", T::boolean, "Start it with supvd (true)."},
    Key{"essential", T::boolean, "As PID 1, supvd ends with it (false)."},
    Key{"group", T::text, "A name that commands accept for all its members."},
    Key{"groups", T::texts, "Several such names."},
    Key{"labels", T::text_map, "Commands accept @NAME=VALUE for all that carry it."},
    Key{"backoff", T::map, "Waits between restarts after deaths.", &kBackoffLevel},
    Key{"flapping", T::map, "Take it out when it fails too often.", &kFlappingLevel},
    Key{"grace", T::duration, "Conditions are not judged this long after any action (0s)."},
    Key{"start_grace", T::duration, "The same after a start (0s)."},
    Key{"stop_grace", T::duration, "The same after a stop (0s)."},
    Key{"restart_grace", T::duration, "The same after a restart (0s)."},
    Key{"start_if", T::conditions, "Start it when one of these is true."},
    Key{"restart_if", T::conditions, "Restart it when one of these is true."},
    Key{"stop_if", T::conditions, "Stop it when one of these is true."},
    Key{"reload_if", T::conditions, "Reload it when one of these is true."},
    Key{"unmonitor_if", T::conditions, "Leave it alone from then on when one of these is true."},
    Key{"notify_if", T::conditions, "Only say so when one of these is true."},
    Key{"lifecycle", T::conditions, "Judged in every state while it is monitored."},
    Key{"transitions", T::transitions, "god's general form: from a state, if true, to another.",
        &kTransitionLevel},
    Key{"behaviors", T::behaviors,
        "clean_pid_file, clean_unix_socket, notify_when_flapping: before each start.",
        &kFlappingNoticeLevel},
    Key{"unix_socket", T::text, "For clean_unix_socket."},
    Key{"notify", T::notify, "Contacts that are told of its changes of state."},
    Key{"adopt", T::text,
        "Another supervisor's pid file: the process it names is taken over, not started again."},
    Key{"hooks", T::map, "Commands around starts, stops and restarts.", &kHooksLevel},
    Key{"ready", T::map, "What up means: one of notify, after, tcp, file (alive after 1s).",
        &kReadyLevel},
    Key{"watchdog", T::duration, "Restart it when WATCHDOG=1 does not come this often."},
};
constexpr Level kWatchLevel = {"a watch", kWatch};

constexpr std::array kCluster = {
    Key{"address", T::text, "http://HOST:PORT, https://HOST:PORT or unix:///PATH."},
    Key{"token", T::text, "ACL token."},
    Key{"token_file", T::text, "File that holds the ACL token."},
    Key{"ca_file", T::text, "File of CA certificates."},
    Key{"ca_path", T::text, "Directory of CA certificates."},
    Key{"client_cert", T::text, "Client certificate."},
    Key{"client_key", T::text, "Key of the client certificate."},
    Key{"tls_server_name", T::text, "Name expected in the server's certificate."},
    Key{"insecure", T::boolean, "Do not check the server's certificate (false)."},
    Key{"datacenter", T::text, "Datacenter to ask (the agent's own)."},
    Key{"namespace", T::text, "Consul Enterprise namespace."},
    Key{"partition", T::text, "Consul Enterprise partition."},
    Key{"consistency", T::choice, "How reads are answered (default).", nullptr,
        "default|stale|consistent"},
    Key{"timeout", T::duration, "For a request that does not block (10s)."},
};
constexpr Level kClusterLevel = {"a Consul cluster", kCluster};

constexpr auto with_clusters() {
  std::array<Key, kCluster.size() + 1> keys{};
  for (std::size_t i = 0; i < kCluster.size(); ++i) keys[i] = kCluster[i];
  keys.back() = {"clusters", T::maps, "Further clusters by name.", &kClusterLevel};
  return keys;
}
constexpr std::array kConsul = with_clusters();
constexpr Level kConsulLevel = {"consul", kConsul};

constexpr std::array kDaemon = {
    Key{"operators", T::texts, "Users and @groups that may do everything."},
    Key{"readers", T::texts, "Users and @groups that may only look."},
    Key{"socket_mode", T::octal, "Mode of the control socket, quoted: \"0660\"."},
    Key{"log", T::text, "supvd's own log file."},
    Key{"log_level", T::choice, "What it logs (info).", nullptr, "debug|info|warn|error"},
    Key{"log_format", T::choice, "How it logs (text).", nullptr, "text|json"},
    Key{"shutdown_timeout", T::duration, "Longest time for all stops (each watch's own)."},
};
constexpr Level kDaemonLevel = {"daemon", kDaemon};

constexpr std::array kNode = {
    Key{"interface", T::text, "Take ${node.ip} and ${node.mac} from this interface."},
    Key{"ip", T::text, "What ${node.ip} stands for."},
    Key{"mac", T::text, "What ${node.mac} stands for."},
    Key{"hostname", T::text, "What ${node.hostname} stands for."},
};
constexpr Level kNodeLevel = {"node", kNode};

constexpr std::array kPlugins = {
    Key{"paths", T::texts, "Files NAME.so, and directories of them; relative to this file."},
    Key{"user", T::text, "Whose rights plugins have (nobody, if supvd is root)."},
    Key{"memory", T::size, "What the process of each may occupy (256MB)."},
};
constexpr Level kPluginsLevel = {"plugins", kPlugins};

const std::array kTop = {
    Key{"watches", T::maps, "The watches by name.", &kWatchLevel},
    Key{"tasks", T::maps, "Commands run when a condition is true, by name.", &kTaskLevel},
    Key{"defaults", T::map, "Keys of a watch, merged under every watch.", &kWatchLevel},
    Key{"vars", T::text_map, "What ${vars.NAME} stands for."},
    Key{"vars_file", T::texts, "Files of vars (YAML maps), below `vars`; relative to this file."},
    Key{"node", T::map, "What ${node.…} stands for.", &kNodeLevel},
    Key{"include", T::texts, "Further watch files (globs), relative to this file."},
    Key{"consul", T::consul, "How to reach Consul.", &kConsulLevel},
    Key{"daemon", T::map, "supvd itself.", &kDaemonLevel},
    Key{"plugins", T::plugins, "Where condition plugins are: paths, or a map.", &kPluginsLevel},
    Key{"contacts", T::maps, "Who can be told, by name; one kind each.", &contact_level()},
    Key{"contact_defaults", T::map, "Options that contacts of a kind have unless they say so.",
        &contact_defaults_level()},
};
const Level kTopLevel = {"a watch file", kTop};

}  // namespace

const Level& top_level() { return kTopLevel; }
const Level& watch_level() { return kWatchLevel; }
const Level& hooks_level() { return kHooksLevel; }
const Level& ready_level() { return kReadyLevel; }
const Level& keepalive_level() { return kKeepaliveLevel; }
const Level& backoff_level() { return kBackoffLevel; }
const Level& flapping_level() { return kFlappingLevel; }
const Level& flapping_condition_level() { return kFlappingConditionLevel; }
const Level& flapping_notice_level() { return kFlappingNoticeLevel; }
const Level& transition_level() { return kTransitionLevel; }
const Level& task_level() { return kTaskLevel; }
const Level& consul_level() { return kConsulLevel; }
const Level& cluster_level() { return kClusterLevel; }
const Level& daemon_level() { return kDaemonLevel; }
const Level& node_level() { return kNodeLevel; }
const Level& plugins_level() { return kPluginsLevel; }
const Level& condition_level() { return kConditionLevel; }

std::vector<std::string_view> key_names(const Level& level) {
  std::vector<std::string_view> names;
  names.reserve(level.keys.size());
  for (const Key& key : level.keys) names.push_back(key.name);
  return names;
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> words;
  while (!choices.empty()) {
    const std::size_t bar = choices.find('|');
    words.push_back(choices.substr(0, bar));
    choices.remove_prefix(bar == std::string_view::npos ? choices.size() : bar + 1);
  }
  return words;
}

}  // namespace supv
