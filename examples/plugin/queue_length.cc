// queue_length: true when a queue of Sidekiq is longer than allowed. Asks Redis itself.
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <supv/condition.hpp>

namespace {

// What can be written in a watch file: name, type, default, help, required, choices.
constexpr supv_option kOptions[] = {
    {"address", SUPV_TEXT, "127.0.0.1:6379", "Where Redis listens, HOST:PORT.", 0, nullptr},
    {"queue", SUPV_TEXT, "default", "The queue's name.", 0, nullptr},
    {"above", SUPV_INTEGER, nullptr, "Fires when more jobs than this wait.", 1, nullptr},
    {"password", SUPV_TEXT, nullptr, "Redis's password.", 0, nullptr},
};

// One connection. What goes wrong is thrown, in words for people.
class Redis {
 public:
  explicit Redis(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), &hints,
                    &found) != 0) {
      throw std::runtime_error("no such address: " + address);
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
    fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{2, 0};  // Less than the deadline, so that there is a reason to tell.
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd_, found->ai_addr, found->ai_addrlen) == 0) return;
    close(fd_);
    throw std::runtime_error("cannot connect to " + address);
  }
  ~Redis() { close(fd_); }
  Redis(const Redis&) = delete;

  // Sends a command of two words; returns the first line of the answer: "+OK", ":42", "-ERR ...".
  std::string ask(const std::string& verb, const std::string& word) {
    const std::string text = "*2\r\n$" + std::to_string(verb.size()) + "\r\n" + verb + "\r\n$" +
                             std::to_string(word.size()) + "\r\n" + word + "\r\n";
    send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    std::string line;
    for (char c = 0; line.size() < 512 && read(fd_, &c, 1) == 1;) {
      if (c == '\n') return line;
      if (c != '\r') line += c;
    }
    throw std::runtime_error("Redis does not answer");
  }

 private:
  int fd_ = -1;
};

class QueueLength : public supv::sdk::Condition {
 public:
  // supvd has checked the options' types. What only you can check is thrown, and shown to people.
  explicit QueueLength(const supv::sdk::Host& host)
      : host_(host), queue_(host.text("queue")), above_(host.number("above")) {
    if (host.text("address").find(':') == std::string::npos) {
      throw std::invalid_argument("address: there is no port in '" + host.text("address") + "'");
    }
  }

  // Called once per `interval`. It may wait, because SUPV_WAITS stands below.
  supv::sdk::Verdict poll(const supv_event&) override {
    try {
      Redis redis(host_.text("address"));
      if (host_.has("password")) redis.ask("AUTH", host_.text("password"));
      return judge(redis.ask("LLEN", "queue:" + queue_));
    } catch (const std::exception& problem) {
      // Not known is not false: nothing acts, and nothing that was counted so far is forgotten.
      return supv::sdk::unknown(problem.what());
    }
  }

 private:
  supv::sdk::Verdict judge(const std::string& answer) const {
    if (answer.rfind(':', 0) != 0) return supv::sdk::unknown("Redis says: " + answer);
    const std::string length = answer.substr(1);
    supv::sdk::Verdict verdict = supv::sdk::ok(length + " jobs wait in " + queue_);
    if (std::stod(length) > above_) {
      verdict = supv::sdk::fire(verdict.reason + ", above " + host_.text("above"));
    }
    // For status and dashboards: 'label'=value;warning;critical;least.
    verdict.metrics = "'" + queue_ + "'=" + length + ";;" + host_.text("above") + ";0";
    return verdict;
  }

  supv::sdk::Host host_;
  std::string queue_;
  double above_;
};

}  // namespace

SUPV_CONDITION_THAT(QueueLength, "queue_length",
                    "True when more jobs wait in a queue than allowed.", SUPV_POLL, kOptions,
                    SUPV_WAITS);
