#include "gateway/dev_kv.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <vector>

#include "base/fd.h"
#include "gateway/dev_kv_server.h"

namespace supv {
namespace {

constexpr int kPortsToTry = 100;

Fd listen_on(std::uint16_t port) {
  Fd fd(check_sys(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  const int yes = 1;  // The port of the role's last life may still have connections winding down.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fd();
  if (::listen(fd.get(), SOMAXCONN) != 0) return Fd();
  return fd;
}

/// Opens the first port that is free and puts its number into `port`.
Fd listen_somewhere(std::uint16_t last_used, std::uint16_t wanted, std::uint16_t& port) {
  std::vector<int> candidates;
  if (last_used != 0) candidates.push_back(last_used);
  for (int i = 0; i < kPortsToTry && wanted + i <= 65535; ++i) candidates.push_back(wanted + i);
  for (const int candidate : candidates) {
    port = static_cast<std::uint16_t>(candidate);
    if (Fd fd = listen_on(port)) return fd;
  }
  return Fd();
}

int fail(const std::string& why) {
  std::fprintf(stderr, "supvd: trial KV: %s\n", why.c_str());
  return 1;
}

}  // namespace

int run_dev_kv(const DevKvOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  Fd report(options.report_fd);
  try {
    std::string error;
    const auto http = MicroHttpd::load("libmicrohttpd.so.12", error);
    if (!http) return fail(error);
    const KvFile file(options.directory);
    auto content = file.load(error);
    if (!content) return fail(error);
    std::uint16_t port = 0;
    Fd listener = listen_somewhere(content->port, options.port, port);
    if (!listener) return fail("no port is free from " + std::to_string(options.port) + " on");
    if (!file.save(port, content->store, error)) return fail(error);
    KvServer server(*http, std::move(listener), port, file, std::move(content->store));
    if (report) {
      const std::string line = std::to_string(port) + '\n';
      check_sys(::write(report.get(), line.data(), line.size()), "report the port");
      report.reset();
    }
    server.run();
  } catch (const std::exception& problem) {
    return fail(problem.what());
  }
}

}  // namespace supv
