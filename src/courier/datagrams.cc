#include "courier/datagrams.h"

#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace supv::courier {
namespace {

/// Look-ups that hang at the same time; more are refused.
constexpr std::size_t kMaxLookups = 32;

struct AddressList {
  addrinfo* first = nullptr;
  AddressList() = default;
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;
  ~AddressList() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

/// Whether somebody listens cannot be known; but a refusal by this very machine is there at once.
std::string send_to(const addrinfo& address, const std::string& bytes) {
  const Fd socket(::socket(address.ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), address.ai_addr, address.ai_addrlen) < 0 ||
      ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
    return std::generic_category().message(errno);
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? "" : std::generic_category().message(error);
}

Done resolve_and_send(const Request& request, std::string host, const std::string& port,
                      int flags) {
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  Done done;
  done.tag = request.tag;
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  AddressList list;
  const int failure = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list.first);
  if (failure != 0) {
    done.error = "cannot look up " + host + ": " + ::gai_strerror(failure);
    return done;
  }
  for (const addrinfo* at = list.first; at != nullptr; at = at->ai_next) {
    done.error = send_to(*at, request.body);
    if (done.error.empty()) {
      done.status = 200;
      return done;
    }
  }
  return done;
}

bool is_number(std::string_view host) {
  return host.find_first_not_of("0123456789.") == std::string_view::npos || host.front() == '[';
}

}  // namespace

struct Datagrams::Shared {
  Fd bell{check_sys(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")};
  std::mutex mutex;
  std::vector<Finished> ended;
  std::size_t lookups = 0;

  void end(std::uint64_t id, Done done) {
    ended.push_back({id, std::move(done)});
    ::eventfd_write(bell.get(), 1);
  }
};

Datagrams::Datagrams() : shared_(std::make_shared<Shared>()) {}
Datagrams::~Datagrams() = default;

void Datagrams::start(std::uint64_t id, const Request& request, const std::string& host,
                      const std::string& port) {
  const std::lock_guard lock(shared_->mutex);
  if (is_number(host)) {
    return shared_->end(id, resolve_and_send(request, host, port, AI_NUMERICHOST));
  }
  Done refused;
  refused.tag = request.tag;
  if (shared_->lookups >= kMaxLookups) {
    refused.error = "the name server does not answer";
    return shared_->end(id, std::move(refused));
  }
  try {
    std::thread([shared = shared_, id, request, host, port] {
      Done done = resolve_and_send(request, host, port, 0);
      const std::lock_guard inner(shared->mutex);
      --shared->lookups;
      shared->end(id, std::move(done));
    }).detach();
    ++shared_->lookups;
  } catch (const std::system_error& error) {
    refused.error = error.what();
    shared_->end(id, std::move(refused));
  }
}

std::vector<Datagrams::Finished> Datagrams::take_ended() {
  eventfd_t rung = 0;
  ::eventfd_read(shared_->bell.get(), &rung);
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->ended, {});
}

int Datagrams::fd() const { return shared_->bell.get(); }

}  // namespace supv::courier
