#include "app/supvctl_print.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "app/supvctl_table.h"
#include "base/text.h"
#include "base/units.h"

namespace supv::ctl {
namespace {

constexpr int kDepth = 32;
constexpr std::streamoff kTail = 64 * 1024;

std::string file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string command_line(int pid) {
  std::string line = file_content(fmt::format("/proc/{}/cmdline", pid));
  while (!line.empty() && line.back() == '\0') line.pop_back();
  for (char& c : line) c = c == '\0' ? ' ' : c;
  if (line.empty()) line = "[" + file_content(fmt::format("/proc/{}/comm", pid)) + "]";
  return printable(line);
}

std::string tree_below(int pid, const std::string& indent, int depth) {
  std::string text;
  std::istringstream children(file_content(fmt::format("/proc/{0}/task/{0}/children", pid)));
  for (int child = 0; depth < kDepth && children >> child;) {
    text += fmt::format("{}{} {}\n", indent, child, command_line(child));
    text += tree_below(child, indent + "  ", depth + 1);
  }
  return text;
}

Tone note_tone(NoteKind kind) {
  switch (kind) {
    case NoteKind::warning:
      return Tone::bad;
    case NoteKind::action:
      return Tone::busy;
    case NoteKind::change:
    case NoteKind::condition:
      break;
  }
  return Tone::plain;
}

}  // namespace

View view_for(const Invocation& invocation) {
  return {invocation.output, invocation.colour, terminal_width(), now_wall_ms()};
}

std::string printable_lines(const std::string& text) {
  std::string safe;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    safe += (safe.empty() ? "" : "\n") + printable(line);
  }
  return safe;
}

std::string render_tree(int pid, const std::string& indent) {
  return fmt::format("{}{} {}\n", indent, pid, command_line(pid)) +
         tree_below(pid, indent + "  ", 0);
}

std::vector<std::string> last_lines(const std::string& path, std::size_t count) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || count == 0) return {};
  const std::streamoff size = file.tellg();
  // Far enough back for the lines wanted, as lines usually are; a very long one is cut.
  const std::streamoff reach =
      std::max(kTail, static_cast<std::streamoff>(std::min<std::size_t>(count, 100000)) * 512);
  const std::streamoff start = size > reach ? size - reach : 0;
  file.seekg(start);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  if (start > 0 && !lines.empty()) lines.erase(lines.begin());
  if (lines.size() > count) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  }
  return lines;
}

std::string render_event(const protocol::HistoryLine& line, const View& view) {
  if (view.output == Output::json || view.output == Output::jsonl) {
    return protocol::history_text(line) + "\n";
  }
  const fx::Note& note = line.note;
  std::string what;
  if (!note.from.empty() || !note.to.empty()) {
    what = note.from.empty() ? printable(note.to)
                             : fmt::format("{} → {}", printable(note.from), printable(note.to));
  }
  if (!note.action.empty()) what += (what.empty() ? "" : ", ") + printable(note.action);
  if (!note.by.empty()) what += " by " + printable(note.by);
  if (note.pid > 0) what += fmt::format(" (pid {})", note.pid);
  if (!note.reason.empty()) what += (what.empty() ? "" : ": ") + printable(note.reason);
  return fmt::format("{}  {:<20}  {}\n", format_time(line.wall_ms),
                     note.watch.empty() ? "supvd" : printable(note.watch),
                     paint(what, note_tone(note.kind), view.colour));
}

std::string render_outcomes(const protocol::Answer& answer, const View& view, bool quiet) {
  if (view.output == Output::json || view.output == Output::jsonl) return answer.json + "\n";
  std::string text;
  for (const PlanLine& line : answer.report.plan) {
    if (quiet) break;
    const Tone tone = line.change == "none" ? Tone::faint : Tone::busy;
    text += fmt::format("{:<8} {}  {}\n", paint(printable(line.change), tone, view.colour),
                        printable(line.watch), printable(line.text));
  }
  for (const Outcome& outcome : answer.report.outcomes) {
    if (quiet && outcome.ok) continue;
    if (view.output == Output::name) {
      text += printable(outcome.watch) + "\n";
    } else {
      text += fmt::format(
          "{}: {}\n", printable(outcome.watch),
          paint(printable(outcome.text), outcome.ok ? Tone::plain : Tone::bad, view.colour));
    }
  }
  return text;
}

}  // namespace supv::ctl
