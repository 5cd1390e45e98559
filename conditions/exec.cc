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

constexpr const char* kBlanks = " \t\r";
constexpr std::size_t kMaxText = 200;
constexpr std::size_t kMaxMetrics = 2048;

std::string trimmed(const std::string& text, std::size_t most) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string::npos) return {};
  std::string result = text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
  if (result.size() <= most) return result;
  std::size_t end = most;
  // Not in the middle of a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xC0) == 0x80) --end;
  return result.substr(0, end) + "...";
}

/// The perfdata in one line; what is too much is left out whole.
std::string fitting(std::string perfdata) {
  for (char& c : perfdata)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) c = ' ';
  if (perfdata.size() > kMaxMetrics) {
    const std::size_t end = perfdata.rfind(' ', kMaxMetrics);
    perfdata.resize(end == std::string::npos ? 0 : end);
  }
  const std::size_t last = perfdata.find_last_not_of(' ');
  perfdata.resize(last == std::string::npos ? 0 : last + 1);
  perfdata.erase(0, perfdata.find_first_not_of(' '));
  return perfdata;
}

struct Output {
  std::string text;      ///< The first line that says anything, shortened.
  std::string perfdata;  ///< All of it, joined.
};

/// Where a line turns to perfdata, npos: nowhere. With no '=' behind it, a '|' is one like any
/// other.
std::size_t bar_in(const std::string& line) {
  const std::size_t bar = line.find('|');
  if (bar == std::string::npos || line.find_first_not_of(kBlanks, bar + 1) == std::string::npos)
    return bar;
  return line.find('=', bar) == std::string::npos ? std::string::npos : bar;
}

/// As monitoring plugins write: a '|' ends the text of the first line, and the rest of that line is
/// perfdata; a '|' further down ends the long text, and everything behind it is perfdata.
Output read_output(const std::string& all) {
  Output output;
  std::istringstream in(all);
  bool first = true;
  bool ended = false;
  for (std::string line; std::getline(in, line);) {
    if (first && line.find_first_not_of(kBlanks) == std::string::npos) continue;
    const std::size_t bar = ended ? std::string::npos : bar_in(line);
    if (first) output.text = trimmed(line.substr(0, bar), kMaxText);
    if (!first && bar != std::string::npos) ended = true;
    first = false;
    if (output.perfdata.size() > kMaxMetrics) break;
    if (bar != std::string::npos) line.erase(0, bar + 1);
    if (bar != std::string::npos || ended) output.perfdata += line + ' ';
  }
  output.perfdata = fitting(std::move(output.perfdata));
  return output;
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
    const Output output = read_output(std::string(reply.text, reply.text_size));
    std::string reason = how(reply);
    if (!output.text.empty()) reason += ": " + output.text;
    // What it was killed in the middle of may be half a number.
    if (reply.status < 0) return supv::sdk::unknown(std::move(reason));
    return {outcome(reply.status), std::move(reason), output.perfdata};
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
