#include <chrono>
#include <supv/condition.hpp>

#include "connect.h"

namespace {

using supv::conditions::Connection;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"socket", SUPV_TEXT, nullptr,
     "tcp:PORT, tcp:ADDR:PORT or unix:PATH, in place of the four options below.", 0, nullptr},
    {"family", SUPV_CHOICE, "tcp", "What kind of socket it is.", 0, "tcp|unix"},
    {"addr", SUPV_TEXT, "127.0.0.1", "tcp: address or name.", 0, nullptr},
    {"port", SUPV_INTEGER, nullptr, "tcp: the port.", 0, nullptr},
    {"path", SUPV_TEXT, nullptr, "unix: the socket; relative to `dir` of the watch.", 0, nullptr},
    {"responding", SUPV_BOOLEAN, "false",
     "false: fires when it cannot be connected to; true: when it can.", 0, nullptr},
    {"timeout", SUPV_DURATION, "5s", "A connection that takes longer is none.", 0, nullptr},
};

/// Where to connect to.
struct Target {
  std::string path;  ///< Not empty: a unix socket.
  std::string addr = "127.0.0.1";
  std::string port;
};

bool is_port(const std::string& text) {
  return !text.empty() && text.size() <= 5 &&
         text.find_first_not_of("0123456789") == std::string::npos && std::stoi(text) > 0 &&
         std::stoi(text) < 65536;
}

Target parse_socket(const std::string& text, const std::string& dir) {
  Target target;
  if (text.rfind("unix:", 0) == 0 && text.size() > 5) {
    target.path = text.substr(5);
    if (target.path.front() != '/' && !dir.empty()) target.path = dir + "/" + target.path;
    return target;
  }
  if (text.rfind("tcp:", 0) == 0) {
    const std::size_t colon = text.rfind(':');
    target.port = text.substr(colon + 1);
    if (colon > 3) target.addr = text.substr(4, colon - 4);
    if (target.addr.size() > 2 && target.addr.front() == '[' && target.addr.back() == ']') {
      target.addr = target.addr.substr(1, target.addr.size() - 2);
    }
    if (is_port(target.port) && !target.addr.empty()) return target;
  }
  throw std::invalid_argument("socket: '" + text +
                              "' is none of tcp:PORT, tcp:ADDR:PORT and unix:PATH");
}

Target read_target(const supv::sdk::Host& host) {
  if (host.has("socket")) {
    if (host.has("port") || host.has("path")) {
      throw std::invalid_argument("socket stands in place of port and path");
    }
    return parse_socket(host.text("socket"), host.text("watch.dir"));
  }
  Target target;
  if (host.is("family", "unix")) {
    target.path = host.path("path");
    if (target.path.empty()) throw std::invalid_argument("family unix needs path");
    if (host.has("port")) throw std::invalid_argument("family unix has no port");
    return target;
  }
  if (host.has("path")) throw std::invalid_argument("path needs family: unix");
  if (!host.has("port")) throw std::invalid_argument("port or socket is needed");
  target.addr = host.text("addr");
  target.port = host.text("port");
  if (target.addr.empty()) throw std::invalid_argument("addr is empty");
  if (!is_port(target.port)) {
    throw std::invalid_argument("port: '" + target.port + "' is not from 1 to 65535");
  }
  return target;
}

class SocketResponding : public supv::sdk::Condition {
 public:
  explicit SocketResponding(const supv::sdk::Host& host)
      : target_(read_target(host)),
        responding_(host.boolean("responding")),
        timeout_(static_cast<std::int64_t>(host.number("timeout"))) {
    if (timeout_.count() < 1) throw std::invalid_argument("timeout must not be 0");
  }

  Verdict poll(const supv_event&) override {
    const Connection made =
        target_.path.empty() ? supv::conditions::connect_tcp(target_.addr, target_.port, timeout_)
                             : supv::conditions::connect_unix(target_.path, timeout_);
    const bool connected = made.outcome == Connection::Outcome::connected;
    std::string said = name() + (connected ? " responds" : ": " + made.reason);
    if (made.outcome == Connection::Outcome::unknown) return supv::sdk::unknown(std::move(said));
    return connected == responding_ ? supv::sdk::fire(std::move(said))
                                    : supv::sdk::ok(std::move(said));
  }

 private:
  std::string name() const {
    if (!target_.path.empty()) return "unix:" + target_.path;
    return "tcp:" + target_.addr + ":" + target_.port;
  }

  Target target_;
  bool responding_;
  std::chrono::milliseconds timeout_;
};

}  // namespace

SUPV_CONDITION_THAT(SocketResponding, "socket_responding",
                    "True when a socket takes no connection, or with `responding: true` when it "
                    "does.",
                    SUPV_POLL, kOptions, SUPV_WAITS);
