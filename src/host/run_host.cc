#include "host/run_host.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "host/instance.h"
#include "host/pool.h"
#include "host/wire.h"

namespace supv {
namespace {

using host::Instance;
using host::Said;

constexpr const char* kTooMany = "too many conditions hang";

class Host {
 public:
  Host(int channel, const std::vector<const supv_condition_descriptor*>& catalog)
      : channel_(channel), catalog_(catalog), pool_(*new host::Pool(host::Pool::Limits{})) {}

  /// Until the channel is closed.
  void run();

 private:
  struct Known {
    std::shared_ptr<Instance> instance;
    std::shared_ptr<host::Lane> lane;
  };

  bool take_messages();
  void take(host::Hello hello);
  void take(host::Make make);
  void take(const host::Drop& drop);
  void take(const host::Ask& ask);
  template <typename Other>
  void take(const Other&) {}  // Those of the processes of plugins.
  void drop(Known known);
  void say(std::uint64_t session, const Said& said);
  void send(const host::Message& message);
  const supv_condition_descriptor* find(const std::string& name) const;

  const int channel_;
  const std::vector<const supv_condition_descriptor*>& catalog_;
  host::Pool& pool_;  // Outlives everything: threads that hang refer to it.
  std::unordered_map<std::uint64_t, Known> known_;
  std::string buffer_ = std::string(host::kMaxPacket + 1, '\0');
  std::mutex speaking_;        ///< Guards the socket's sending side and ...
  std::uint64_t session_ = 0;  ///< ... what answers it is open for.
};

void Host::run() {
  while (take_messages()) {
    pool_.tick();
    const auto wake = pool_.wake();
    pollfd ready{channel_, POLLIN, 0};
    ::poll(&ready, 1, wake ? static_cast<int>(wake->count()) : -1);
  }
}

bool Host::take_messages() {
  for (;;) {
    const ssize_t size = ::recv(channel_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (size <= 0) return false;
    auto message = host::decode(std::string_view(buffer_.data(), static_cast<std::size_t>(size)));
    if (!message) return false;
    std::visit([this](auto&& one) { take(std::forward<decltype(one)>(one)); }, std::move(*message));
  }
}

/// A new brain: nothing of what the one before it made counts any more.
void Host::take(host::Hello hello) {
  auto old = std::exchange(known_, {});
  for (auto& [id, known] : old) drop(std::move(known));
  const std::lock_guard lock(speaking_);
  session_ = hello.session;
  send(hello);
}

void Host::take(host::Make make) {
  const std::uint64_t id = make.id;
  Known known{std::make_shared<Instance>(find(make.name), std::move(make)),
              host::Pool::make_lane()};
  // Made on a thread as well: a plugin's constructor can hang like everything else.
  pool_.add(known.lane, {[instance = known.instance] { instance->begin(); }, [] {}});
  known_[id] = std::move(known);
}

void Host::take(const host::Drop& one) {
  const auto found = known_.find(one.id);
  if (found == known_.end()) return;
  Known known = std::move(found->second);
  known_.erase(found);
  drop(std::move(known));
}

void Host::drop(Known known) {
  pool_.clear(*known.lane);
  const auto lane = std::move(known.lane);
  // The last of its jobs destroys it, on a thread.
  pool_.add(lane, {[instance = std::move(known.instance)] {}, nullptr});
}

void Host::take(const host::Ask& ask) {
  Said said;
  said.id = ask.id;
  said.serial = ask.serial;
  const auto found = known_.find(ask.id);
  if (found == known_.end()) {
    said.reason = "there is no such instance";
    return say(session_, said);
  }
  const std::uint64_t session = session_;
  host::Job job;
  job.run = [this, session, said, ask, instance = found->second.instance]() mutable {
    instance->ask(ask, nullptr, said);
    say(session, said);
  };
  job.refuse = [this, session, said]() mutable {
    said.reason = kTooMany;
    say(session, said);
  };
  pool_.add(found->second.lane, std::move(job));
}

void Host::say(std::uint64_t session, const Said& said) {
  const std::lock_guard lock(speaking_);
  if (session == session_) send(said);
}

/// Waits until the brain has read enough, whoever calls: the brain never waits for a host.
void Host::send(const host::Message& message) {
  const std::string packet = host::encode(message);
  while (::send(channel_, packet.data(), packet.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

const supv_condition_descriptor* Host::find(const std::string& name) const {
  for (const supv_condition_descriptor* one : catalog_) {
    if (name == one->name) return one;
  }
  return nullptr;
}

}  // namespace

int run_host(int channel_fd, const std::vector<const supv_condition_descriptor*>& catalog) {
  std::signal(SIGPIPE, SIG_IGN);
  ::fcntl(channel_fd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // A heap for each thread would be most of what a host occupies.
  ::mallopt(M_ARENA_MAX, 2);
  Host(channel_fd, catalog).run();
  // Threads may hang in the middle of anything.
  ::_exit(0);
}

}  // namespace supv
