#include "app/supvctl_commands.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "app/control_client.h"
#include "app/supvctl_complete.h"
#include "app/supvctl_import.h"
#include "app/supvctl_logs.h"
#include "app/supvctl_offline.h"
#include "app/supvctl_plugin.h"
#include "app/supvctl_print.h"
#include "app/supvctl_probe.h"
#include "app/supvctl_progress.h"
#include "base/text.h"
#include "core/protocol.h"

namespace supv::ctl {
namespace {

constexpr int kRefresh = 2000;  // status --watch, milliseconds.
constexpr Duration kEnding{10000};

struct VerbName {
  const char* name;
  Request::Verb verb;
};
constexpr std::array<VerbName, 18> kVerbs = {{{"status", Request::Verb::status},
                                              {"show", Request::Verb::show},
                                              {"why", Request::Verb::why},
                                              {"wait", Request::Verb::wait},
                                              {"plan", Request::Verb::plan},
                                              {"start", Request::Verb::start},
                                              {"stop", Request::Verb::stop},
                                              {"restart", Request::Verb::restart},
                                              {"reload", Request::Verb::reload},
                                              {"signal", Request::Verb::signal},
                                              {"monitor", Request::Verb::monitor},
                                              {"unmonitor", Request::Verb::unmonitor},
                                              {"hold", Request::Verb::hold},
                                              {"release", Request::Verb::release},
                                              {"load", Request::Verb::load},
                                              {"quit", Request::Verb::quit},
                                              {"terminate", Request::Verb::terminate},
                                              {"remove", Request::Verb::remove}}};

void complain(const std::string& text) {
  if (text.empty()) return;
  fmt::print(stderr, "supvctl: {}{}", text, text.back() == '\n' ? "" : "\n");
}

protocol::Call call_for(const Invocation& invocation) {
  protocol::Call call;
  Request& request = call.request;
  for (const VerbName& each : kVerbs) {
    if (invocation.command == each.name) request.verb = each.verb;
  }
  if (invocation.command == "history") call.kind = protocol::Kind::history;
  if (invocation.command == "events") call.kind = protocol::Kind::events;
  if (invocation.command == "logs") call.kind = protocol::Kind::logs;
  if (invocation.command == "version") call.kind = protocol::Kind::version;
  request.select = invocation.select;
  request.files = invocation.files;
  request.all = invocation.all;
  request.signal = invocation.signal;
  request.until = invocation.command == "wait" ? invocation.until : "";
  request.hold_for = invocation.hold_for;
  request.reason = invocation.reason;
  request.force = invocation.force;
  request.no_restart = invocation.no_restart;
  request.missing = invocation.missing;
  call.count = invocation.lines.value_or(0);
  call.follow = invocation.follow && call.kind == protocol::Kind::events;
  if (!protocol::only_reads(call)) request.action_id = make_action_id();
  return call;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += " " + word;
  return text;
}

/// The names near to a selector that nothing matches.
std::string suggestions(Client& client, const Invocation& invocation) {
  const Reply reply = client.ask({}, kEnding);
  if (!reply.answer) return "";
  std::vector<std::string_view> names;
  for (const WatchReport& watch : reply.answer->report.watches) {
    names.emplace_back(watch.name);
    for (const std::string& group : watch.groups) names.emplace_back(group);
  }
  for (const std::string& word : invocation.select) {
    if (std::find(names.begin(), names.end(), word) != names.end()) continue;
    const std::string_view near = nearest_word(word, names);
    if (!near.empty()) return fmt::format("; did you mean {}?", near);
  }
  return "";
}

/// Says why there is no result. Returns the code to exit with.
int fail(Client& client, const Invocation& invocation, const Reply& reply) {
  std::string text = printable_lines(reply.text);
  if (reply.code == code::kNoSuchWatch && text.find("did you mean") == std::string::npos) {
    text += suggestions(client, invocation);
  }
  if (reply.answer && (invocation.output == Output::json || invocation.output == Output::jsonl)) {
    fmt::print("{}\n", reply.answer->json);
  }
  complain(text);
  return reply.code;
}

bool has_result(const Reply& reply) {
  return reply.answer && reply.answer->kind == protocol::Answer::Kind::result;
}

int run_status(Client& client, const Invocation& invocation) {
  for (;;) {
    const Reply reply = client.ask(call_for(invocation), invocation.timeout);
    if (!has_result(reply)) return fail(client, invocation, reply);
    const std::string text = render_status(*reply.answer, view_for(invocation), invocation.tree);
    if (!invocation.quiet) {
      // Home, the new text, then clear what is left of the old one: no flicker.
      const bool screen = invocation.watch && invocation.colour;
      fmt::print("{}{}{}", screen ? "\033[H\033[2J" : "", text, screen ? "\033[J" : "");
      std::fflush(stdout);
    }
    if (!invocation.watch) return status_code(*reply.answer, invocation.select);
    poll(nullptr, 0, kRefresh);
    if (client.interrupted()) return kInterrupted;
  }
}

int run_query(Client& client, const Invocation& invocation) {
  const Reply reply = client.ask(call_for(invocation), invocation.timeout);
  if (!has_result(reply)) return fail(client, invocation, reply);
  const protocol::Answer& answer = *reply.answer;
  const View view = view_for(invocation);
  if (invocation.command == "logs") return print_logs(answer.logs, invocation);
  const std::string text =
      invocation.command == "why" ? render_why(answer, view) : render_show(answer, view);
  if (!invocation.quiet) std::fputs(text.c_str(), stdout);
  return reply.code;
}

int run_history(Client& client, const Invocation& invocation) {
  const View view = view_for(invocation);
  const protocol::Call call = call_for(invocation);
  std::int64_t newest = 0;
  client.on_event = [&](const protocol::HistoryLine& line) {
    if (line.wall_ms < newest) return true;  // Told again after the connection broke.
    newest = line.wall_ms;
    std::fputs(render_event(line, view).c_str(), stdout);
    return std::fflush(stdout) == 0;
  };
  const Reply reply = client.ask(call, call.follow ? std::nullopt : invocation.timeout);
  if (call.follow && reply.code == 0) return 0;
  if (!has_result(reply)) return fail(client, invocation, reply);
  if (invocation.output == Output::json) {
    fmt::print("{}\n", reply.answer->json);
    return reply.code;
  }
  for (const protocol::HistoryLine& line : reply.answer->history) {
    std::fputs(render_event(line, view).c_str(), stdout);
  }
  return reply.code;
}

/// After quit and terminate: done means that supvd has ended, so that another may start.
int confirm_end(Client& client, const Invocation& invocation) {
  const Duration patience = invocation.timeout.value_or(kEnding);
  if (client.wait_for_end(patience)) return 0;
  complain("supvd has not ended yet");
  return kTimedOut;
}

int run_action(Client& client, const Invocation& invocation) {
  ProgressLine line(invocation.command + joined(invocation.select), invocation.quiet);
  client.on_progress = [&line](const std::string& text, Duration passed,
                               std::optional<Duration> expected) {
    line.show(text, passed, expected);
  };
  client.no_wait = invocation.no_wait;
  const Reply reply = client.ask(call_for(invocation), invocation.timeout);
  line.clear();
  const bool ends = invocation.command == "quit" || invocation.command == "terminate";
  if (!has_result(reply)) {
    if (reply.code != 0) return fail(client, invocation, reply);
    if (!invocation.quiet) fmt::print("{}\n", invocation.no_wait ? "asked" : reply.text);
    return 0;
  }
  const protocol::Answer& answer = *reply.answer;
  const std::string text = render_outcomes(answer, view_for(invocation), invocation.quiet);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  if (reply.code != 0) {
    const bool told = !answer.report.outcomes.empty() && reply.code != code::kInvalid;
    if (!told || reply.code == code::kNoSuchWatch) {
      Reply without_json{reply.code, reply.text, {}};
      return fail(client, invocation, without_json);
    }
    return reply.code;
  }
  if (text.empty() && !reply.text.empty() && !invocation.quiet) {
    fmt::print("{}\n", printable_lines(reply.text));
  }
  return ends && !invocation.no_wait ? confirm_end(client, invocation) : 0;
}

int run_kv(Client& client, const Invocation& invocation) {
  const auto& words = invocation.words;
  const std::string what = words.empty() ? "" : words[0];
  const std::size_t wanted = what == "put" ? 3 : what == "get" || what == "delete" ? 2 : 0;
  if (wanted == 0 || words.size() != wanted) {
    complain("kv get KEY, kv put KEY VALUE or kv delete KEY");
    return code::kUsage;
  }
  protocol::Call call;
  call.kind = protocol::Kind::kv;
  call.kv_action = what;
  call.key = words[1];
  if (wanted == 3) call.value = words[2];
  const Reply reply = client.ask(call, invocation.timeout);
  if (!has_result(reply) || reply.answer->kv.code != 0) return fail(client, invocation, reply);
  const protocol::KvAnswer& kv = reply.answer->kv;
  if (invocation.output == Output::json) {
    fmt::print("{}\n", reply.answer->json);
  } else if (what == "get" && kv.value) {
    // For people a line; a pipe gets the bytes as they are, and the newline that tools expect.
    const std::string shown = invocation.colour ? printable_lines(*kv.value) : *kv.value;
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    std::fputc('\n', stdout);
  } else if (!kv.text.empty() && !invocation.quiet) {
    fmt::print("{}\n", printable(kv.text));
  }
  return reply.code;
}

int run_contact(Client& client, const Invocation& invocation) {
  const auto& words = invocation.words;
  if (words.size() != 2 || words[0] != "test") {
    complain("contact test NAME");
    return code::kUsage;
  }
  protocol::Call call;
  call.kind = protocol::Kind::contact;
  call.key = words[1];
  const Reply reply = client.ask(call, invocation.timeout);
  if (!has_result(reply) || reply.answer->kv.code != 0) return fail(client, invocation, reply);
  if (invocation.output == Output::json) {
    fmt::print("{}\n", reply.answer->json);
  } else if (!invocation.quiet) {
    fmt::print("{}\n", printable(reply.answer->kv.text));
  }
  return reply.code;
}

int run_version(Client& client, const Invocation& invocation) {
  const Reply reply = client.ask(call_for(invocation), invocation.timeout);
  if (invocation.output == Output::json) {
    fmt::print("{{\"supvctl\":\"{}\",\"supvd\":{}}}\n", SUPV_VERSION,
               has_result(reply) ? reply.answer->json : "null");
    return 0;
  }
  fmt::print("supvctl {}\n", SUPV_VERSION);
  if (has_result(reply)) {
    fmt::print("supvd {} (pid {})\n", printable(reply.answer->supvd.version),
               reply.answer->supvd.pid);
  }
  return 0;
}

int run_completion(const Invocation& invocation) {
  const std::string script =
      invocation.words.size() == 1 ? completion_script(invocation.words[0]) : "";
  if (script.empty()) {
    complain("completion bash, completion zsh or completion fish");
    return code::kUsage;
  }
  std::fputs(script.c_str(), stdout);
  return 0;
}

}  // namespace

int run_command(const Invocation& invocation) {
  const std::string& command = invocation.command;
  if (command == "check") return check_files(invocation);
  if (command == "conditions") return print_conditions(invocation);
  if (command == "schema") return print_schema();
  if (command == "import") return run_import(invocation);
  if (command == "plugin") return check_plugin_file(invocation);
  if (command == "probe") return run_probe(invocation);
  if (command == "completion") return run_completion(invocation);
  if (command == "__complete") {
    print_completions(invocation);
    return 0;
  }
  Client client(invocation.socket);
  if (command == "status") return run_status(client, invocation);
  if (command == "show" || command == "why" || command == "logs") {
    return run_query(client, invocation);
  }
  if (command == "history" || command == "events") return run_history(client, invocation);
  if (command == "kv") return run_kv(client, invocation);
  if (command == "contact") return run_contact(client, invocation);
  if (command == "version") return run_version(client, invocation);
  return run_action(client, invocation);
}

}  // namespace supv::ctl
