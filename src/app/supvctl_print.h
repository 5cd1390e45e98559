#pragma once

#include <string>
#include <vector>

#include "app/supvctl_invocation.h"
#include "core/protocol.h"

namespace supv::ctl {

/// What all printing depends on.
struct View {
  Output output = Output::table;
  bool colour = false;
  std::optional<std::size_t> width;  ///< Of the terminal; empty: never cut anything.
  std::int64_t now_ms = 0;
};
View view_for(const Invocation& invocation);

/// printable(), line by line: newlines stay.
std::string printable_lines(const std::string& text);

/// The status table with its footer in words, or the JSON, or the names.
std::string render_status(const protocol::Answer& answer, const View& view, bool tree);
/// The code of `status` for one watch (contract 3); `named`: the operator said its name.
int status_code(const WatchReport& watch, bool named);
/// The most severe code of all: 1 > 4 > 3 > 150 > 151 > 0. `select` as the operator wrote it.
int status_code(const protocol::Answer& answer, const std::vector<std::string>& select);

/// What a condition measured, as far as that fits behind its reason; starts with " | ".
std::string metrics_part(const std::vector<Metric>& metrics);

/// One readable page about a watch: what it is, why, since when, what comes next.
std::string render_why(const protocol::Answer& answer, const View& view);
/// Everything known about the watches, in words.
std::string render_show(const protocol::Answer& answer, const View& view);

/// One line of history: when, who, what, why.
std::string render_event(const protocol::HistoryLine& line, const View& view);
/// What an action came to: a line for each watch and for each line of the plan.
std::string render_outcomes(const protocol::Answer& answer, const View& view, bool quiet);

/// The processes below `pid` with their command lines, one a line, indented; from /proc.
std::string render_tree(int pid, const std::string& indent);

/// The last lines of a file, at most `count`; empty when it cannot be read.
std::vector<std::string> last_lines(const std::string& path, std::size_t count);

}  // namespace supv::ctl
