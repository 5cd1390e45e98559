#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <map>
#include <string_view>

#include "app/places.h"
#include "app/supvctl_invocation.h"
#include "base/text.h"

namespace supv::ctl {
namespace {

constexpr int kUsage = 2;

/// What a command takes besides the global flags.
enum Takes : unsigned {
  kSelect = 1,       ///< SEL..., -f FILE, --all
  kNeedsSelect = 2,  ///< ... at least one of them
  kFiles = 4,        ///< FILE...
  kLines = 8,        ///< -n
  kFollow = 16,      ///< -f (then there is no -f FILE)
  kForce = 32,
  kWords = 64,
};

struct CommandLine {
  const char* name;
  const char* help;
  unsigned takes;
};

constexpr CommandLine kCommands[] = {
    {"status", "What runs, how it is and what happened last", kSelect},
    {"show", "Everything about a watch", kSelect | kNeedsSelect},
    {"why", "Why a watch is in its state", kSelect | kNeedsSelect},
    {"history", "What happened to watches", kSelect | kLines},
    {"events", "What happens in supvd", kSelect | kLines | kFollow},
    {"logs", "What watches wrote", kSelect | kNeedsSelect | kLines | kFollow},
    {"start", "Start watches and keep them up", kSelect | kNeedsSelect | kForce},
    {"stop", "Stop watches until they are started again", kSelect | kNeedsSelect | kForce},
    {"restart", "Stop and start watches", kSelect | kNeedsSelect | kForce},
    {"reload", "Let watches re-read what they can", kSelect | kNeedsSelect | kForce},
    {"signal", "Send a signal: signal SIG SEL", kSelect | kNeedsSelect | kForce},
    {"monitor", "Judge watches and keep them up", kSelect | kNeedsSelect | kForce},
    {"unmonitor", "Leave watches alone", kSelect | kNeedsSelect | kForce},
    {"remove", "Stop watches and forget them until a load", kSelect | kNeedsSelect | kForce},
    {"hold", "Let no condition, schedule or load act", kSelect | kNeedsSelect},
    {"release", "End a hold", kSelect | kNeedsSelect},
    {"wait", "Wait until watches are up, ready, stopped or gone", kSelect | kNeedsSelect},
    {"load", "Read configuration files, or all of them again", kFiles},
    {"plan", "What load would do", kFiles},
    {"check", "Check configuration files, offline", kFiles},
    {"conditions", "Reference of the conditions", kWords},
    {"schema", "JSON schema of watch files", 0},
    {"import", "Another supervisor's configuration as a watch file", kForce},
    {"probe", "Ask conditions now: probe SEL [CONDITION], probe FILE WATCH [CONDITION]", kWords},
    {"plugin", "Try a condition plugin: plugin check FILE.so", 0},
    {"kv", "kv get KEY, kv put KEY VALUE, kv delete KEY", kWords},
    {"contact", "Tell a contact something: contact test NAME", kWords},
    {"quit", "End supvd; processes stay", kForce},
    {"terminate", "Stop everything, then end supvd", kForce},
    {"version", "Versions of supvctl and supvd", 0},
    {"completion", "Completion script for bash, zsh or fish", kWords},
};

const std::map<std::string, Output> kOutputs = {{"table", Output::table},
                                                {"wide", Output::wide},
                                                {"json", Output::json},
                                                {"jsonl", Output::jsonl},
                                                {"name", Output::name}};

/// Raw texts that CLI11 fills and that are checked afterwards.
struct Texts {
  std::string output;
  std::string timeout;
  std::string hold_for;
  std::string signal;
  bool json = false;
  bool no_color = false;
};

CLI::Validator duration_text() {
  return CLI::Validator(
      [](std::string& text) {
        return parse_duration(text)
                   ? std::string()
                   : fmt::format("'{}' is not a duration such as 30s or 5m", printable(text));
      },
      "DURATION");
}

CLI::Validator signal_text() {
  return CLI::Validator(
      [](std::string& text) {
        return parse_signal(text)
                   ? std::string()
                   : fmt::format("'{}' is not a signal such as TERM or USR1", printable(text));
      },
      "SIG");
}

void add_globals(CLI::App& app, Invocation& invocation, Texts& texts) {
  app.add_flag("--json", texts.json, "Print JSON");
  app.add_option("-o,--output", texts.output, "table, wide, json, jsonl or name")
      ->check(CLI::IsMember(kOutputs));
  app.add_option("--socket", invocation.socket, "supvd's control socket");
  app.add_option("--timeout", texts.timeout, "Give up waiting after this time")
      ->check(duration_text());
  app.add_flag("--no-wait", invocation.no_wait, "Ask, and do not wait until it is done");
  app.add_flag("--no-color", texts.no_color, "No colour");
  app.add_flag("-q,--quiet", invocation.quiet, "Print errors only");
}

void add_own(CLI::App& sub, const std::string& name, Invocation& invocation, Texts& texts) {
  if (name == "status") {
    sub.add_flag("--watch", invocation.watch, "Refresh until interrupted");
    sub.add_flag("--tree", invocation.tree, "With the processes below");
  } else if (name == "hold") {
    sub.add_option("--for", texts.hold_for, "How long (for ever)")->check(duration_text());
    sub.add_option("--reason", invocation.reason, "Why; shown in status");
  } else if (name == "wait") {
    sub.add_option("--for", invocation.until, "up, ready, stopped or gone")
        ->check(CLI::IsMember({"up", "ready", "stopped", "gone"}));
  } else if (name == "load") {
    sub.add_option("--missing", invocation.missing, "stop, unmonitor or keep what is not defined")
        ->check(CLI::IsMember({"stop", "unmonitor", "keep"}));
    sub.add_flag("--no-restart", invocation.no_restart, "Leave changes pending");
  } else if (name == "import") {
    sub.add_option("FROM", invocation.from, "god")->required();
    sub.add_option("FILE", invocation.files, "Its configuration files")->required();
    sub.add_option("-o,--out", invocation.out, "Write the watch file there; else standard output");
  } else if (name == "probe") {
    sub.add_flag("--all", invocation.all, "Every watch");
  } else if (name == "plugin") {
    sub.add_option("WHAT", invocation.from, "check")->required();
    sub.add_option("FILE", invocation.files, "The plugin, NAME.so")->required();
    sub.add_option("--option", invocation.options, "NAME=VALUE, as in a watch file")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    sub.add_flag("--verbose", invocation.verbose, "With the reference of the condition");
  } else if (name == "signal") {
    sub.add_option("SIG", texts.signal, "Signal name or number")->required()->check(signal_text());
  }
}

void add_command(CLI::App& app, const CommandLine& line, Invocation& invocation, Texts& texts) {
  CLI::App* sub = app.add_subcommand(line.name, line.help);
  sub->fallthrough();
  add_own(*sub, line.name, invocation, texts);
  if ((line.takes & kSelect) != 0) {
    sub->add_option("SEL", invocation.select, "Names, groups, NAME@2, globs, @label=value");
    sub->add_flag("--all", invocation.all, "Every watch");
    const bool follows = (line.takes & kFollow) != 0;
    sub->add_option(follows ? "--file" : "-f,--file", invocation.files, "What this file defines")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  if ((line.takes & kFiles) != 0) {
    CLI::Option* files = sub->add_option("FILE", invocation.files, "Watch files or folders");
    if (std::string_view(line.name) == "check") files->required();
  }
  if ((line.takes & kLines) != 0) sub->add_option("-n,--lines", invocation.lines, "How many");
  if ((line.takes & kFollow) != 0) sub->add_flag("-f,--follow", invocation.follow, "Go on");
  if ((line.takes & kForce) != 0) sub->add_flag("--force", invocation.force, "Even when held");
  if ((line.takes & kWords) != 0) sub->add_option("WORD", invocation.words, "");
}

bool wants_colour(const Texts& texts) {
  const char* no_color = std::getenv("NO_COLOR");
  if (texts.no_color || (no_color != nullptr && *no_color != '\0')) return false;
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

const CommandLine* find_command(std::string_view name) {
  for (const CommandLine& line : kCommands) {
    if (name == line.name) return &line;
  }
  return nullptr;
}

Parsed usage(const std::string& text) { return {{}, kUsage, "supvctl: " + text + "\n"}; }

/// Turns "The following argument was not expected: x" into something that helps.
Parsed explain(const CLI::ParseError& error, int argc, char** argv) {
  std::vector<std::string_view> names;
  for (const CommandLine& line : kCommands) names.emplace_back(line.name);
  bool value_follows = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (value_follows || (!word.empty() && word.front() == '-')) {
      value_follows = !value_follows && (word == "-o" || word == "--output" || word == "--socket" ||
                                         word == "--timeout");
      continue;
    }
    if (find_command(word) != nullptr) break;
    const std::string_view near = nearest_word(word, names);
    return usage(fmt::format("no such command: {}{}\nsupvctl --help lists the commands",
                             printable(word),
                             near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  }
  return usage(fmt::format("{}\nsupvctl --help tells more", printable(error.what())));
}

Parsed finish(Invocation invocation, const Texts& texts) {
  const CommandLine* line = find_command(invocation.command);
  const bool selected = invocation.all || !invocation.select.empty() || !invocation.files.empty();
  if (line != nullptr && (line->takes & kNeedsSelect) != 0 && !selected) {
    return usage(
        fmt::format("{0} what? Say a name, a group, a glob, -f FILE or --all", invocation.command));
  }
  if (invocation.all && (!invocation.select.empty())) {
    return usage("--all and names exclude each other");
  }
  if (!texts.output.empty()) invocation.output = kOutputs.at(texts.output);
  if (texts.json) invocation.output = Output::json;
  if (!texts.timeout.empty()) invocation.timeout = parse_duration(texts.timeout);
  if (!texts.hold_for.empty()) invocation.hold_for = *parse_duration(texts.hold_for);
  if (!texts.signal.empty()) invocation.signal = *parse_signal(texts.signal);
  for (std::string& file : invocation.files) file = absolute_path(file);
  if (invocation.socket.empty()) invocation.socket = default_socket();
  invocation.socket = absolute_path(invocation.socket);
  invocation.colour = wants_colour(texts);
  return {std::move(invocation), 0, {}};
}

}  // namespace

const std::vector<std::string>& command_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const CommandLine& line : kCommands) all.emplace_back(line.name);
    return all;
  }();
  return names;
}

Parsed parse_command_line(int argc, char** argv) {
  Invocation invocation;
  Texts texts;
  if (argc > 1 && std::string_view(argv[1]) == "__complete") {
    invocation.command = "__complete";
    for (int i = 2; i < argc; ++i) {
      if (i > 2 || std::string_view(argv[i]) != "--") invocation.words.emplace_back(argv[i]);
    }
    return finish(std::move(invocation), texts);
  }
  CLI::App app("Operate supvd, the process supervisor", "supvctl");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", "supvctl " SUPV_VERSION);
  add_globals(app, invocation, texts);
  for (const CommandLine& line : kCommands) add_command(app, line, invocation, texts);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    return {{}, 0, chosen.empty() ? app.help() : chosen.front()->help("supvctl")};
  } catch (const CLI::CallForVersion&) {
    return {{}, 0, "supvctl " SUPV_VERSION "\n"};
  } catch (const CLI::ParseError& error) {
    return explain(error, argc, argv);
  }
  invocation.command = app.get_subcommands().front()->get_name();
  return finish(std::move(invocation), texts);
}

}  // namespace supv::ctl
