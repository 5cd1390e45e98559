#include "app/supvctl_complete.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "app/control_client.h"
#include "app/supvctl_installed.h"
#include "base/text.h"
#include "conditions/catalog.h"

namespace supv::ctl {
namespace {

constexpr Duration kPatience{1000};  // A shell waits for this.

constexpr const char* kBash = R"(_supvctl() {
  local IFS=$'\n'
  COMPREPLY=($(supvctl __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _supvctl supvctl
)";

constexpr const char* kZsh = R"(#compdef supvctl
_supvctl() {
  local -a found
  found=("${(@f)$(supvctl __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _supvctl supvctl
)";

constexpr const char* kFish = R"(function __supvctl_complete
    set -l words (commandline -opc) (commandline -ct)
    supvctl __complete -- $words[2..-1] 2>/dev/null
end
complete -c supvctl -a '(__supvctl_complete)'
)";

std::vector<std::string> watches_and_groups(const std::string& socket) {
  Client client(socket);
  protocol::Call call;
  call.request.verb = Request::Verb::status;
  const Reply reply = client.ask(call, kPatience);
  std::set<std::string> names;
  if (reply.answer) {
    for (const WatchReport& watch : reply.answer->report.watches) {
      names.insert(watch.name);
      names.insert(watch.groups.begin(), watch.groups.end());
    }
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> condition_names() {
  std::vector<std::string> names;
  for (const auto* condition : builtin_conditions()) names.emplace_back(condition->name);
  for (const InstalledPlugin& plugin : installed_plugins()) names.push_back(plugin.name);
  return names;
}

std::vector<std::string> candidates(const Invocation& invocation) {
  std::vector<std::string> before = invocation.words;
  if (!before.empty()) before.pop_back();
  const std::vector<std::string>& commands = command_names();
  const auto command = std::find_if(before.begin(), before.end(), [&](const std::string& word) {
    return std::find(commands.begin(), commands.end(), word) != commands.end();
  });
  const std::string previous = before.empty() ? "" : before.back();
  if (previous == "-o" || previous == "--output") return {"table", "wide", "json", "jsonl", "name"};
  if (command == before.end()) return commands;
  if (previous == "--missing") return {"stop", "unmonitor", "keep"};
  if (*command == "wait" && previous == "--for") return {"up", "ready", "stopped", "gone"};
  if (*command == "completion") return {"bash", "zsh", "fish"};
  if (*command == "kv" && previous == "kv") return {"get", "put", "delete"};
  if (*command == "contact" && previous == "contact") return {"test"};
  if (*command == "plugin" && previous == "plugin") return {"check"};
  if (*command == "import" && previous == "import") return {"god"};
  if (*command == "conditions") return condition_names();
  if (*command == "signal" && previous == "signal") {
    return {"HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "TSTP", "CONT", "TTIN", "KILL"};
  }
  const auto without_names = {"load",   "plan", "check",     "import",  "kv",    "contact",
                              "schema", "quit", "terminate", "version", "plugin"};
  if (std::find(without_names.begin(), without_names.end(), *command) != without_names.end()) {
    return {};
  }
  return watches_and_groups(invocation.socket);
}

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  return shell == "fish" ? kFish : "";
}

void print_completions(const Invocation& invocation) {
  const std::string start = invocation.words.empty() ? "" : invocation.words.back();
  for (const std::string& word : candidates(invocation)) {
    if (word.compare(0, start.size(), start) == 0) std::puts(printable(word).c_str());
  }
}

}  // namespace supv::ctl
