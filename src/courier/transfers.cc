#include "courier/transfers.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/units.h"

namespace supv::courier {
namespace {

constexpr auto kIdleOrigin = std::chrono::minutes(2);

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

/// Two requests with equal keys may share connections.
std::string origin_key(const UrlParts& url, const Connection& connection, bool secured) {
  std::string key = url.scheme + ' ' + url.authority();
  for (const std::string* part : {&connection.unix_socket, &connection.ca_file, &connection.ca_path,
                                  &connection.tls_server_name, &connection.proxy})
    key += '\n' + *part;
  key += connection.insecure ? "\ninsecure\n" : "\n\n";
  return secured ? key + fingerprint(connection) : key;
}

/// Whether the request's scheme is one that its method goes over.
bool fits(const UrlParts& url, Method method) {
  if (method == Method::mail) return url.mail();
  if (method == Method::datagram) return url.scheme == "udp";
  return url.scheme == "http" || url.scheme == "https";
}

/// What would end a line of the protocol and begin another one.
bool is_clean(const Request& request) {
  const auto any = [](const std::vector<std::string>& texts) {
    return std::any_of(texts.begin(), texts.end(), has_control_character);
  };
  const Envelope& envelope = request.envelope;
  return !has_control_character(request.url) && !any(request.headers) &&
         !any(envelope.recipients) && !has_control_character(envelope.from) &&
         !has_control_character(envelope.user) && !has_control_character(envelope.password);
}

}  // namespace

Transfers::Transfers() : epoll_(check_sys(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = datagrams_.fd();
  check_sys(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, datagrams_.fd(), &event), "epoll_ctl");
}

Transfers::~Transfers() { transfers_.clear(); }

Transfers::Id Transfers::start(Request request) {
  const Id id = ++last_;
  const std::uint64_t tag = request.tag;
  std::string error;
  if (begin(id, request, error)) return id;
  finished_.push_back({id, {}});
  finished_.back().done.tag = tag;
  finished_.back().done.error = std::move(error);
  return id;
}

bool Transfers::begin(Id id, Request& request, std::string& error) {
  const auto url = split_url(request.url);
  if (!url || !fits(*url, request.method) || !is_clean(request)) {
    error = request.method == Method::mail       ? "not a mail over smtp:// or smtps://"
            : request.method == Method::datagram ? "not a datagram to udp://HOST:PORT"
                                                 : "not a request over http:// or https://";
    return false;
  }
  const auto until = Clock::now() + std::chrono::milliseconds(request.deadline_ms);
  if (request.method == Method::datagram) {
    lookups_.emplace(id, Lookup{request.tag, request.deadline_ms, deadlines_.emplace(until, id)});
    datagrams_.start(id, request, url->host, url->port);
    return true;
  }
  if (!curl_ && missing_.empty()) curl_ = CurlApi::load("libcurl.so.4", missing_);
  error = missing_;
  Origin* origin = curl_ ? find_origin(request, *url, error) : nullptr;
  if (origin == nullptr) return false;
  const auto deadline = deadlines_.emplace(until, id);
  auto transfer = std::make_unique<Transfer>(*curl_, *origin, std::move(request), buffered_);
  ids_.emplace(transfer.get(), id);
  transfers_.emplace(id, UnderWay{std::move(transfer), deadline});
  return true;
}

Origin* Transfers::find_origin(const Request& request, const UrlParts& url, std::string& error) {
  drop_idle_origins();
  const bool secured =
      url.tls || request.redirects > 0 || request.envelope.tls != Envelope::Tls::none;
  const std::string key = origin_key(url, request.connection, secured);
  if (const auto found = origins_.find(key); found != origins_.end()) return found->second.get();
  Credentials credentials;
  if (secured) {
    auto loaded = load_credentials(request.connection, error);
    if (!loaded) return nullptr;
    credentials = std::move(*loaded);
  }
  SocketWatch& sockets = *this;
  auto origin =
      std::make_unique<Origin>(*curl_, sockets, url, request.connection, std::move(credentials));
  return origins_.emplace(key, std::move(origin)).first->second.get();
}

void Transfers::drop_idle_origins() {
  const auto now = Clock::now();
  std::erase_if(origins_, [&](const auto& entry) {
    const Origin& origin = *entry.second;
    return origin.under_way() == 0 && now - origin.last_used() > kIdleOrigin;
  });
}

void Transfers::watch(Origin& origin, curl_socket_t socket, int what) {
  if (what == CURL_POLL_REMOVE) {
    sockets_.erase(socket);
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket, nullptr);
    return;
  }
  epoll_event event{};
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  event.data.fd = socket;
  sockets_[socket] = &origin;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket, &event) == 0) return;
  // Called by libcurl, through which nothing may be thrown: should the kernel have no memory for
  // one more socket, the request ends at its deadline.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event);
}

std::vector<Transfers::Finished> Transfers::run() {
  take_sockets();
  take_timers();
  return std::exchange(finished_, {});
}

void Transfers::take_sockets() {
  epoll_event events[64];
  const int count = ::epoll_wait(epoll_.get(), events, 64, 0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == datagrams_.fd()) {
      take_datagrams();
      continue;
    }
    // An earlier event of this round may have closed the socket.
    const auto found = sockets_.find(events[i].data.fd);
    if (found == sockets_.end()) continue;
    int what = 0;
    if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
    if ((events[i].events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((events[i].events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
    found->second->act(events[i].data.fd, what);
  }
  take_ended();
}

void Transfers::take_timers() {
  const auto now = Clock::now();
  for (const auto& [key, origin] : origins_)
    if (origin->wake() && *origin->wake() <= now) origin->act(CURL_SOCKET_TIMEOUT, 0);
  take_ended();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    give_up(deadlines_.begin()->second);
  }
}

void Transfers::give_up(Id id) {
  const auto lookup = lookups_.find(id);
  if (lookup == lookups_.end()) return end(id, transfers_.at(id).transfer->give_up());
  Done done;
  done.tag = lookup->second.tag;
  done.error = "the name server does not answer within " +
               format_duration(Duration(lookup->second.deadline_ms));
  deadlines_.erase(lookup->second.deadline);
  lookups_.erase(lookup);
  finished_.push_back({id, std::move(done)});
}

void Transfers::take_datagrams() {
  for (auto& [id, done] : datagrams_.take_ended()) {
    const auto lookup = lookups_.find(id);
    if (lookup == lookups_.end()) continue;  // Too late.
    deadlines_.erase(lookup->second.deadline);
    lookups_.erase(lookup);
    finished_.push_back({id, std::move(done)});
  }
}

void Transfers::take_ended() {
  for (const auto& [key, origin] : origins_) {
    CURLcode result = CURLE_OK;
    while (CURL* easy = origin->ended(result)) {
      Transfer* transfer = nullptr;
      curl_->easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
      end(ids_.at(transfer), transfer->finish(result));
    }
  }
}

void Transfers::end(Id id, Done done) {
  const auto found = transfers_.find(id);
  SUPV_CHECK(found != transfers_.end());
  finished_.push_back({id, std::move(done)});
  deadlines_.erase(found->second.deadline);
  ids_.erase(found->second.transfer.get());
  transfers_.erase(found);
}

std::optional<Clock::time_point> Transfers::wake() const {
  if (!finished_.empty()) return Clock::now();
  std::optional<Clock::time_point> wake;
  if (!deadlines_.empty()) wake = deadlines_.begin()->first;
  for (const auto& [key, origin] : origins_)
    if (origin->wake() && (!wake || *origin->wake() < *wake)) wake = origin->wake();
  return wake;
}

}  // namespace supv::courier
