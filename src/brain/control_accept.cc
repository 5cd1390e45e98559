// Who is let in.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "brain/control.h"

namespace supv {
namespace {

constexpr auto kDeaf = std::chrono::milliseconds(100);

}  // namespace

Fd Control::open_reserve() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

/// False: nobody else is waiting, or nobody else can be let in.
bool Control::accept_one() {
  Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd) {
    admit(std::move(fd));
    return true;
  }
  switch (errno) {
    case EINTR:
    case ECONNABORTED:
      return true;
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
      return answer_without_room();
    default:
      break;
  }
  go_deaf();  // ENOMEM and its like.
  return false;
}

/// Out of descriptors: one is given up for as long as it takes to tell the client.
bool Control::answer_without_room() {
  reserve_.reset();
  bool told = false;
  int error = 0;
  if (const Fd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)}) {
    turn_away(fd);
    told = true;
  } else {
    error = errno;  // EAGAIN: the kernel says EMFILE before it looks whether anybody waits.
  }
  reserve_ = open_reserve();
  if (!told && error != EAGAIN) go_deaf();
  return told;
}

void Control::turn_away(const Fd& fd) {
  const std::string line = protocol::error_line(
      {"null", protocol::kBusy, "busy: too many clients, try again"}, code::kUnreachable);
  [[maybe_unused]] const ssize_t sent =
      ::send(fd.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ++turned_away_;
}

/// A level-triggered listener that cannot be served would be a busy loop.
void Control::go_deaf() {
  deaf_until_ = world_.clock() + kDeaf;
  watching_.change(0);
}

bool Control::has_room_for(uid_t uid) const {
  if (peers_.is_master(uid)) return clients_.size() < limits_.connections;
  const auto of_user = static_cast<std::size_t>(std::count_if(
      clients_.begin(), clients_.end(), [&](const auto& c) { return c.second->uid == uid; }));
  return clients_.size() + limits_.per_user < limits_.connections && of_user < limits_.per_user;
}

void Control::admit(Fd fd) {
  const std::optional<uid_t> uid = peer_uid(fd.get());
  if (!uid) return;
  if (!has_room_for(*uid)) return turn_away(fd);
  auto client = std::make_unique<Client>(std::move(fd), *uid);
  client->id = ClientId{++last_client_};
  client->active = world_.clock();
  Client& added = *client;
  client->watching = Watching(reactor_, added.connection.fd(), EPOLLIN,
                              [this, &added](std::uint32_t events) { on_ready(added, events); });
  clients_.emplace(added.id, std::move(client));
}

}  // namespace supv
