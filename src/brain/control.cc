#include "brain/control.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/text.h"

namespace supv {
namespace {

using protocol::Call;
using protocol::Refusal;

constexpr int kAcceptsPerTurn = 64;
constexpr std::size_t kLastWords = 32;  // Buffers.

bool names_watches(const Request& request) {
  return !request.select.empty() || !request.files.empty();
}

/// Such a reply can be as long as there are watches.
bool has_large_reply(const Call& call) {
  return call.kind != protocol::Kind::core || call.request.verb == Request::Verb::probe ||
         (call.request.verb <= Request::Verb::events && call.request.verb != Request::Verb::wait);
}

}  // namespace

class Control::Turn {
 public:
  explicit Turn(Control& control) : control_(control) { ++control_.turns_; }
  ~Turn() {
    if (--control_.turns_ == 0) control_.sweep();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Control& control_;
};

Control::Control(Fd listener, Reactor& reactor, ControlWorld& world, Peers& peers,
                 ControlLimits limits)
    : listener_(std::move(listener)),
      reserve_(open_reserve()),
      reactor_(reactor),
      world_(world),
      peers_(peers),
      limits_(limits),
      watching_(reactor, listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_some(); }) {}

Control::~Control() = default;

void Control::accept_some() {
  const Turn turn(*this);
  peers_.age(world_.clock());
  for (int i = 0; i < kAcceptsPerTurn && accept_one(); ++i) {
  }
}

// --- reading -----------------------------------------------------------------------------------

void Control::on_ready(Client& client, std::uint32_t events) {
  const Turn turn(*this);
  const bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLOUT) != 0) {
    if (!client.connection.flush()) return drop(client);
    client.active = world_.clock();
  }
  if ((events & EPOLLIN) != 0) client.connection.fill();
  serve(client);
  if (!gone) return;
  // What a client that left at once had said still counts, but it cannot be told anything.
  for (std::size_t i = 0;
       i < kLastWords && may_read(client) && client.connection.input() == Connection::Input::open;
       ++i) {
    client.connection.fill();
    serve(client);
  }
  drop(client);
}

bool Control::may_read(const Client& client) const {
  return !client.doomed && client.large == 0 && client.pending.size() < limits_.pending &&
         client.connection.backlog() <= limits_.backlog;
}

/// Takes the calls that have come, as far as their replies have room.
void Control::serve(Client& client) {
  if (client.serving || client.doomed) return;
  if (client.connection.input() == Connection::Input::broken) return drop(client);
  client.serving = true;
  while (may_read(client)) {
    const std::optional<std::string> line = client.connection.next_line();
    if (!line) break;
    client.active = world_.clock();
    take_line(client, *line);
  }
  client.serving = false;
  if (!client.doomed && client.connection.too_long()) {
    send(client,
         protocol::error_line({"null", protocol::kInvalidRequest, "line too long"}, code::kUsage));
    return drop(client);
  }
  settle(client);
}

void Control::take_line(Client& client, std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  auto parsed = protocol::parse_call(line);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) {
    return send(client, protocol::error_line(*refusal, code::kUsage));
  }
  auto& call = std::get<Call>(parsed);
  const Right right = peers_.right_of(client.uid);
  if (right == Right::all || (right == Right::read && protocol::only_reads(call))) {
    return take_call(client, std::move(call));
  }
  const std::string text = "not permitted: " + peers_.name_of(client.uid) +
                           (right == Right::read ? " may only read" : " is no operator of supvd");
  send(client, protocol::error_line({call.id, protocol::kRefusedCall, text}, code::kDenied));
}

void Control::take_call(Client& client, Call call) {
  switch (call.kind) {
    case protocol::Kind::version:
      return send(client, protocol::version_line(call, world_.supvd()));
    case protocol::Kind::history:
    case protocol::Kind::events:
      if (!names_watches(call.request)) return send(client, history(client, call, {}));
      return ask(client, std::move(call));
    case protocol::Kind::kv:
    case protocol::Kind::contact: {
      const Tag tag = ++client.last_tag;
      ++client.large;
      const Call& kept = client.pending.emplace(tag, std::move(call)).first->second;
      return world_.kv(client.id, tag, Call(kept));
    }
    case protocol::Kind::core:
    case protocol::Kind::logs:
      return ask(client, std::move(call));
  }
}

void Control::ask(Client& client, Call call) {
  const Tag tag = ++client.last_tag;
  Request request = call.request;
  // Only the core knows which watches a selector means.
  if (call.kind != protocol::Kind::core) request.verb = Request::Verb::show;
  request.client = client.id;
  request.tag = tag;
  request.by = peers_.name_of(client.uid);
  if (has_large_reply(call)) ++client.large;
  client.known = true;
  client.pending.emplace(tag, std::move(call));
  world_.asked(request);
}

// --- answering ---------------------------------------------------------------------------------

Control::Client* Control::find(ClientId id) {
  const auto found = clients_.find(id);
  return found == clients_.end() || found->second->doomed ? nullptr : found->second.get();
}

std::optional<Call> Control::take_pending(Client& client, Tag tag) {
  const auto found = client.pending.find(tag);
  if (found == client.pending.end()) return std::nullopt;
  Call call = std::move(found->second);
  client.pending.erase(found);
  if (has_large_reply(call)) --client.large;
  return call;
}

void Control::reply(const fx::Reply& reply) {
  const Turn turn(*this);
  Client* client = find(reply.client);
  if (client == nullptr) return;
  if (reply.progress) {
    const auto found = client->pending.find(reply.tag);
    // Progress is news of the moment: a client that does not keep up gets the result.
    if (found == client->pending.end() || client->connection.backlog() > limits_.backlog) return;
    return send(*client, protocol::progress_line(found->second, reply.report));
  }
  const std::optional<Call> call = take_pending(*client, reply.tag);
  if (!call) return;
  send(*client, answer(*client, *call, reply.report));
  serve(*client);
}

void Control::answer_kv(ClientId id, Tag tag, const protocol::KvAnswer& answer) {
  const Turn turn(*this);
  Client* client = find(id);
  if (client == nullptr) return;
  const std::optional<Call> call = take_pending(*client, tag);
  if (!call) return;
  send(*client, protocol::kv_line(*call, answer));
  serve(*client);
}

void Control::publish(std::string_view watch, std::string_view history_text) {
  const Turn turn(*this);
  std::string line;
  for (const auto& [id, client] : clients_) {
    if (!client->following || client->doomed) continue;
    if (!client->followed.empty() && !any_matches(client->followed, watch)) continue;
    if (client->connection.backlog() > limits_.backlog) {
      ++turned_away_;
      drop(*client);
      continue;
    }
    if (line.empty()) line = protocol::event_line(history_text);
    send(*client, line);
    settle(*client);
  }
}

void Control::send(Client& client, std::string_view line) {
  if (client.doomed) return;
  // From here on the client has time to take it; more news gives it no more time.
  if (client.connection.backlog() == 0) client.active = world_.clock();
  if (!client.connection.send(line)) drop(client);
}

// --- living and dying --------------------------------------------------------------------------

/// Waits for exactly what can be gone on with, and lets go of who has been served.
void Control::settle(Client& client) {
  if (client.doomed) return;
  const bool open = client.connection.input() == Connection::Input::open;
  const bool unsent = client.connection.backlog() > 0;
  if (!open && client.pending.empty() && !unsent && !client.following) return drop(client);
  std::uint32_t events = 0;
  if (open && may_read(client)) events |= EPOLLIN;
  if (unsent) events |= EPOLLOUT;
  client.watching.change(events);
}

void Control::drop(Client& client) {
  if (client.doomed) return;
  client.doomed = true;
  client.watching.reset();
}

void Control::sweep() {
  for (auto at = clients_.begin(); at != clients_.end();) {
    if (!at->second->doomed) {
      ++at;
      continue;
    }
    const ClientId id = at->first;
    const bool known = at->second->known;
    at = clients_.erase(at);
    if (known) world_.client_gone(id);
  }
}

std::optional<Time> Control::wake() const {
  std::optional<Time> wake = deaf_until_;
  for (const auto& [id, client] : clients_) {
    const bool waits = !client->pending.empty() || client->following;
    // Who is owed an answer or follows may be silent for ever, unless he does not take what he
    // asked for.
    if (waits && client->connection.backlog() == 0) continue;
    const Time due = client->active + limits_.idle;
    if (!wake || due < *wake) wake = due;
  }
  return wake;
}

void Control::tick() {
  const Turn turn(*this);
  const Time now = world_.clock();
  if (deaf_until_ && *deaf_until_ <= now) {
    deaf_until_.reset();
    if (!reserve_) reserve_ = open_reserve();
    watching_.change(EPOLLIN);
  }
  for (const auto& [id, client] : clients_) {
    const bool waits = !client->pending.empty() || client->following;
    if (waits && client->connection.backlog() == 0) continue;
    if (client->active + limits_.idle <= now) drop(*client);
  }
}

bool Control::flushed() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client.second->connection.backlog() == 0; });
}

}  // namespace supv
