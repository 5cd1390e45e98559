#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace supv::ctl {

/// How results are printed.
enum class Output : std::uint8_t { table, wide, json, jsonl, name };

/// One command line of supvctl, understood.
struct Invocation {
  std::string command;              ///< "restart"; as the man page names it.
  std::vector<std::string> select;  ///< Names, groups, globs, @label=value.
  std::vector<std::string> files;   ///< -f FILE; the arguments of load, plan and check.
  bool all = false;

  Output output = Output::table;
  std::string socket;
  std::optional<Duration> timeout;
  bool no_wait = false;
  bool colour = false;
  bool quiet = false;

  bool watch = false;   ///< status --watch
  bool tree = false;    ///< status --tree
  bool follow = false;  ///< events -f, logs -f
  bool force = false;
  bool no_restart = false;
  std::optional<std::uint64_t> lines;  ///< -n
  int signal = 0;
  Duration hold_for{0};
  std::string reason;
  std::string missing;
  std::string until = "up";          ///< wait --for
  std::string from;                  ///< import: whose files they are, "god"; plugin: "check".
  std::string out;                   ///< import -o: the file to write.
  bool verbose = false;              ///< plugin check --verbose
  std::vector<std::string> options;  ///< plugin check: --option NAME=VALUE.
  std::vector<std::string> words;    ///< kv, completion, conditions, __complete: what follows.
};

/// What options parsing came to: either an invocation, or text to print and a code to exit with.
struct Parsed {
  std::optional<Invocation> invocation;
  int code = 0;
  std::string text;
};

/// Understands a command line. Errors (code 2) come with a suggestion where one is near.
Parsed parse_command_line(int argc, char** argv);

/// Every command that people type, for completion and suggestions.
const std::vector<std::string>& command_names();

}  // namespace supv::ctl
