#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "app/control_client.h"
#include "app/places.h"
#include "base/text.h"

namespace supv::ctl {
namespace {

std::string elsewhere(const std::string& socket) {
  std::string text;
  for (const std::string& other : other_sockets()) {
    if (other != socket) text += fmt::format("\n  another supvd may be at --socket {}", other);
  }
  return text;
}

}  // namespace

std::string describe_unreachable(const std::string& socket, int error) {
  const std::string shown = printable(socket);
  switch (error) {
    case EACCES:
    case EPERM:
      return fmt::format(
          "not permitted to talk to supvd at {}: run as its user or as root, or ask "
          "for a place in daemon.operators or daemon.readers{}",
          shown, elsewhere(socket));
    case ENOENT:
      return fmt::format("supvd is not running: there is no socket {}{}", shown, elsewhere(socket));
    case ECONNREFUSED:
      return fmt::format("supvd is not running: nobody listens at {}{}", shown, elsewhere(socket));
    case ENAMETOOLONG:
      return fmt::format("the socket path is longer than the 107 bytes a socket may have: {}",
                         shown);
    default:
      return fmt::format("cannot reach supvd at {}: {}{}", shown, std::strerror(error),
                         elsewhere(socket));
  }
}

std::string make_action_id() {
  std::array<std::uint8_t, 16> bytes{};
  check_sys(getrandom(bytes.data(), bytes.size(), 0), "getrandom");
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string id;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += fmt::format("{:02x}", bytes[i]);
  }
  return id;
}

}  // namespace supv::ctl
