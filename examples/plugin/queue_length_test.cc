// Calls the plugin through its descriptor, as supvd does, beside a Redis of our own.
#include <netinet/in.h>
#include <supv/condition.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <string>
#include <thread>

namespace {

using Options = std::map<std::string, std::string>;

// Listens on a free port, answers one connection with a text and keeps what it was asked.
class FakeRedis {
 public:
  explicit FakeRedis(const std::string& answer) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in here{};
    socklen_t size = sizeof here;
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd_, reinterpret_cast<sockaddr*>(&here), size);
    listen(fd_, 1);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&here), &size);
    address = "127.0.0.1:" + std::to_string(ntohs(here.sin_port));
    thread_ = std::thread([this, answer] {
      const int peer = accept(fd_, nullptr, nullptr);
      char text[512];
      const ssize_t got = recv(peer, text, sizeof text, 0);
      asked.assign(text, got > 0 ? static_cast<std::size_t>(got) : 0);
      send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(peer);
    });
  }
  ~FakeRedis() {
    shutdown(fd_, SHUT_RDWR);  // Wakes accept() if nobody came.
    thread_.join();
    close(fd_);
  }

  std::string address;
  std::string asked;

 private:
  int fd_;
  std::thread thread_;
};

// "fire: the reason | the metrics", or what create() said.
std::string verdict_of(Options options) {
  supv_host host{};  // A condition that asks for more than its options needs more of this.
  host.size = sizeof host;
  host.context = &options;
  host.option = [](void* context, const char* name) -> const char* {
    const auto& all = *static_cast<Options*>(context);
    const auto found = all.find(name);
    return found == all.end() ? nullptr : found->second.c_str();
  };
  char error[200] = "";
  void* self = supv_condition_plugin.create(&host, error, sizeof error);
  if (self == nullptr) return error;
  supv_event event{};
  event.size = sizeof event;
  event.kind = SUPV_TICK;
  supv_verdict verdict{};
  verdict.size = sizeof verdict;
  supv_condition_plugin.on_event(self, &event, &verdict);
  constexpr const char* kNames[] = {"ok: ", "fire: ", "unknown: ", "pending: "};
  std::string said = kNames[verdict.outcome] + std::string(verdict.reason);
  if (verdict.metrics != nullptr) said += std::string(" | ") + verdict.metrics;
  supv_condition_plugin.destroy(self);
  return said;
}

int failures = 0;

void expect(const std::string& said, const std::string& expected) {
  if (said == expected) return;
  std::printf("expected '%s'\n     got '%s'\n", expected.c_str(), said.c_str());
  ++failures;
}

std::string verdict_when(const std::string& answer) {
  FakeRedis redis(answer);
  return verdict_of({{"address", redis.address}, {"queue", "mail"}, {"above", "100"}});
}

}  // namespace

int main() {
  expect(verdict_when(":100\r\n"), "ok: 100 jobs wait in mail | 'mail'=100;;100;0");
  expect(verdict_when(":101\r\n"), "fire: 101 jobs wait in mail, above 100 | 'mail'=101;;100;0");
  expect(verdict_when("-NOAUTH Authentication required.\r\n"),
         "unknown: Redis says: -NOAUTH Authentication required.");
  expect(verdict_when(""), "unknown: Redis does not answer");
  expect(verdict_of({{"address", "127.0.0.1:1"}, {"queue", "mail"}, {"above", "100"}}),
         "unknown: cannot connect to 127.0.0.1:1");
  expect(verdict_of({{"address", "nowhere"}, {"above", "100"}}),
         "address: there is no port in 'nowhere'");
  {
    FakeRedis redis("+OK\r\n:7\r\n");
    expect(verdict_of({{"address", redis.address}, {"queue", "q"}, {"above", "9"}}),
           "unknown: Redis says: +OK");
    expect(redis.asked, "*2\r\n$4\r\nLLEN\r\n$7\r\nqueue:q\r\n");
  }
  if (failures == 0) std::printf("all verdicts are as expected\n");
  return failures == 0 ? 0 : 1;
}
