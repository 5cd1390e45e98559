#include <cstring>
#include <supv/condition.hpp>

namespace {

using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"command", SUPV_TEXT, nullptr,
     "Run as `start` is: by the watch's user, in its directory and environment.", 1, nullptr},
    {"fires_on", SUPV_CHOICE, "critical",
     "Exit codes as plugins of Nagios give them: 0 ok, 1 warning, 2 critical, others unknown. "
     "critical: 2; warning: 1 and 2; nonzero: all but 0; zero: 0.",
     0, "critical|warning|nonzero|zero"},
};

constexpr std::size_t kMaxText = 200;
constexpr std::size_t kMaxPerfdata = 100;

std::string trimmed(const std::string& text, std::size_t most) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  std::string result = text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
  if (result.size() <= most) return result;
  std::size_t end = most;
  // Not in the middle of a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xC0) == 0x80) --end;
  return result.substr(0, end) + "...";
}

/// The first line that says anything: the text, then the perfdata that a '|' sets apart.
std::string first_line(std::string output) {
  std::istringstream in(output);
  for (std::string line; std::getline(in, line);) {
    const std::size_t bar = line.find('|');
    const std::string text = trimmed(line.substr(0, bar), kMaxText);
    const std::string perfdata =
        bar == std::string::npos ? "" : trimmed(line.substr(bar + 1), kMaxPerfdata);
    if (text.empty() && perfdata.empty()) continue;
    if (perfdata.empty()) return text;
    return (text.empty() ? "| " : text + " | ") + perfdata;
  }
  return {};
}

class Exec : public supv::sdk::Condition {
 public:
  explicit Exec(const supv::sdk::Host& host)
      : host_(host), command_(host.text("command")), fires_on_(host.text("fires_on")) {
    if (command_.find_first_not_of(" \t\n") == std::string::npos) {
      throw std::invalid_argument("command: it is empty");
    }
  }

  Verdict poll(const supv_event&) override {
    if (!host_.run(command_, 0)) return supv::sdk::unknown("no command can be run");
    return supv::sdk::pending();
  }

  Verdict answered(const supv_reply& reply) override {
    if (reply.error != nullptr) return supv::sdk::unknown(reply.error);
    const std::string line = first_line(std::string(reply.text, reply.text_size));
    std::string reason = how(reply);
    if (!line.empty()) reason += ": " + line;
    if (reply.status < 0) return supv::sdk::unknown(std::move(reason));
    return {outcome(reply.status), std::move(reason)};
  }

 private:
  supv_outcome outcome(int code) const {
    if (fires_on_ == "nonzero") return code != 0 ? SUPV_FIRE : SUPV_OK;
    if (fires_on_ == "zero") return code == 0 ? SUPV_FIRE : SUPV_OK;
    if (code < 0 || code > 2) return SUPV_UNKNOWN;
    return code >= (fires_on_ == "warning" ? 1 : 2) ? SUPV_FIRE : SUPV_OK;
  }

  static std::string how(const supv_reply& reply) {
    if (reply.status >= 0) return "exit " + std::to_string(reply.status);
    if (reply.signal == 0) return "ended, status unknown";
    const char* name = ::sigabbrev_np(reply.signal);
    return "killed by " + (name ? std::string(name) : std::to_string(reply.signal));
  }

  supv::sdk::Host host_;
  std::string command_;
  std::string fires_on_;
};

}  // namespace

SUPV_CONDITION(Exec, "exec",
               "True when a command says so by its exit code. One that is killed by a signal, does "
               "not end in time or cannot be run is unknown; in time means within `timeout`, then "
               "everything it started is killed.",
               SUPV_POLL, kOptions);
