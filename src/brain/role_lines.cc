#include "brain/role_lines.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <array>
#include <utility>

#include "base/units.h"

namespace supv {

namespace {

/// Keeps EPOLLOUT on exactly while it is wanted.
template <typename Line>
void want(Line& line, bool writing) {
  if (line.writing == writing) return;
  line.writing = writing;
  line.watching.change(writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

}  // namespace

void RoleLines::up(Roles::Name name, Fd channel) {
  switch (name) {
    case Roles::Name::scribe:
      scribe_.channel = std::make_unique<ScribeChannel>(std::move(channel));
      scribe_.writing = false;
      scribe_.watching = Watching(reactor_, scribe_.channel->fd(), EPOLLIN,
                                  [this](std::uint32_t) { read_scribe(); });
      return ears_.scribe(scribe_.channel.get());
    case Roles::Name::courier:
      courier_.channel = std::make_unique<CourierChannel>(std::move(channel));
      courier_.writing = false;
      courier_.watching = Watching(reactor_, courier_.channel->fd(), EPOLLIN,
                                   [this](std::uint32_t) { read_courier(); });
      return;
    case Roles::Name::host:
      host_.channel = std::make_unique<HostChannel>(std::move(channel));
      host_.writing = false;
      host_.watching =
          Watching(reactor_, host_.channel->fd(), EPOLLIN, [this](std::uint32_t) { read_host(); });
      return ears_.host(host_.channel.get());
    case Roles::Name::dev:
      dev_said_.clear();
      dev_ = std::move(channel);
      check_sys(::fcntl(dev_.get(), F_SETFL, O_NONBLOCK), "fcntl");
      dev_watching_ =
          Watching(reactor_, dev_.get(), EPOLLIN, [this](std::uint32_t) { read_dev(); });
      return;
  }
}

void RoleLines::down(Roles::Name name) {
  switch (name) {
    case Roles::Name::scribe:
      ears_.scribe(nullptr);
      scribe_.watching.reset();
      scribe_.channel.reset();
      return;
    case Roles::Name::courier:
      courier_.watching.reset();
      courier_.channel.reset();
      return ears_.courier_gone();
    case Roles::Name::host:
      ears_.host(nullptr);
      host_.watching.reset();
      host_.channel.reset();
      return;
    case Roles::Name::dev:
      dev_watching_.reset();
      dev_.reset();
      return;
  }
}

void RoleLines::read_scribe() {
  ScribeChannel& channel = *scribe_.channel;
  channel.flush();
  for (const scribe::Lost& lost : channel.receive()) ears_.lost(lost);
  if (channel.alive()) return;
  scribe_.watching.reset();
  ears_.broken(Roles::Name::scribe);
}

void RoleLines::read_courier() {
  while (auto done = courier_.channel->receive()) ears_.done(std::move(*done));
  if (!courier_.channel->closed()) return;
  courier_.watching.reset();
  ears_.broken(Roles::Name::courier);
}

void RoleLines::read_host() {
  host_.channel->flush();
  ears_.host_said();
  if (!host_.channel->closed()) return;
  ears_.host(nullptr);
  host_.watching.reset();
  ears_.broken(Roles::Name::host);
}

void RoleLines::read_dev() {
  std::array<char, 64> bytes;
  const ssize_t size = ::read(dev_.get(), bytes.data(), bytes.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0) dev_said_.append(bytes.data(), static_cast<std::size_t>(size));
  const std::size_t end = dev_said_.find('\n');
  if (size > 0 && end == std::string::npos && dev_said_.size() < 64) return;
  dev_watching_.reset();
  dev_.reset();
  const auto port = parse_unsigned(std::string_view(dev_said_).substr(0, end));
  // Otherwise it ends by itself, having said why on standard error.
  if (end != std::string::npos && port && *port > 0 && *port < 65536) {
    ears_.dev_port(static_cast<std::uint16_t>(*port));
  }
}

void RoleLines::before_wait() {
  if (scribe_.channel) want(scribe_, scribe_.channel->alive() && scribe_.channel->pending());
  if (courier_.channel)
    want(courier_, !courier_.channel->closed() && courier_.channel->wants_write());
  if (host_.channel) want(host_, !host_.channel->closed() && host_.channel->wants_write());
}

}  // namespace supv
