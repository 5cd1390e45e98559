#include "courier/origin.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace supv::courier {
namespace {

/// A Consul agent refuses the 201st connection of a client; this leaves room for its orphans.
constexpr long kMaxPlainConnections = 64;
constexpr long kMaxTlsConnections = 2;
constexpr long kMaxStreams = 250;  ///< What a Consul agent allows on one connection.

/// libcurl 7.88 does not mark the pair of sockets that it makes for itself.
void close_on_exec_everything() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename().string();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (fd > 2) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
}

curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

curl_blob blob(const std::string& bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size(), CURL_BLOB_NOCOPY};
}

}  // namespace

std::optional<UrlParts> split_url(std::string_view url) {
  constexpr std::pair<std::string_view, const char*> kSchemes[] = {
      {"http", "80"}, {"https", "443"}, {"smtp", "25"}, {"smtps", "465"}, {"udp", ""}};
  const std::size_t scheme = std::min(url.find("://"), url.size());
  const auto known = std::find_if(std::begin(kSchemes), std::end(kSchemes), [&](const auto& one) {
    return one.first == url.substr(0, scheme);
  });
  if (known == std::end(kSchemes) || scheme == url.size()) return std::nullopt;
  UrlParts parts;
  parts.scheme = known->first;
  parts.tls = known->first.back() == 's';
  url.remove_prefix(scheme + 3);
  const auto slash = std::min(url.find_first_of("/?"), url.size());
  const std::string_view authority = url.substr(0, slash);
  parts.rest = url.substr(slash);
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  parts.host = authority.substr(0, has_port ? colon : authority.size());
  if (has_port) parts.port = authority.substr(colon + 1);
  if (parts.port.empty()) parts.port = known->second;
  if (parts.host.empty() || parts.port.empty()) return std::nullopt;
  return parts;
}

Origin::Origin(const CurlApi& curl, SocketWatch& sockets, const UrlParts& url,
               const Connection& connection, Credentials credentials)
    : curl_(curl),
      sockets_(sockets),
      connection_(connection),
      credentials_(std::move(credentials)),
      tls_(url.tls),
      mail_(url.mail()),
      multi_(curl.multi_init()),
      last_used_(Clock::now()) {
  SUPV_CHECK(multi_ != nullptr);
  close_on_exec_everything();
  curl_.multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Origin::on_socket);
  curl_.multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_.multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Origin::on_timer);
  curl_.multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_.multi_setopt(multi_, CURLMOPT_MAX_CONCURRENT_STREAMS, kMaxStreams);
  curl_.multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS,
                     tls_ ? kMaxTlsConnections : kMaxPlainConnections);
  if (tls_ && !connection_.tls_server_name.empty()) {
    const std::string line =
        connection_.tls_server_name + ':' + url.port + ':' + url.host + ':' + url.port;
    connect_to_ = curl_.slist_append(nullptr, line.c_str());
  }
}

Origin::~Origin() {
  SUPV_CHECK(under_way_ == 0);
  curl_.multi_cleanup(multi_);
  curl_.slist_free_all(connect_to_);
}

void Origin::configure(CURL* easy) const {
  const auto set = [&](CURLoption option, auto value) { curl_.easy_setopt(easy, option, value); };
  set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(CURLOPT_NOSIGNAL, 1L);
  // libcurl would send even loopback through http_proxy.
  set(CURLOPT_NOPROXY, connection_.proxy.empty() ? "*" : "");
  if (!connection_.proxy.empty()) set(CURLOPT_PROXY, connection_.proxy.c_str());
  // Else the end of a request would wait for the name server, and everything with it.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROTOCOLS_STR, mail_ ? "smtp,smtps" : "http,https");
  if (!connection_.unix_socket.empty())
    set(CURLOPT_UNIX_SOCKET_PATH, connection_.unix_socket.c_str());
  if (!mail_) {
    set(CURLOPT_ACCEPT_ENCODING, "gzip");
    const auto version = tls_ ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    set(CURLOPT_HTTP_VERSION, static_cast<long>(version));
    set(CURLOPT_PIPEWAIT, tls_ ? 1L : 0L);
  }
  // Not only if `tls_`: STARTTLS and a redirect come to it too.
  set(CURLOPT_SSL_VERIFYPEER, connection_.insecure ? 0L : 1L);
  set(CURLOPT_SSL_VERIFYHOST, connection_.insecure ? 0L : 2L);
  if (connect_to_ != nullptr) set(CURLOPT_CONNECT_TO, connect_to_);
  const auto set_blob = [&](CURLoption option, const std::string& bytes) {
    if (bytes.empty()) return;
    curl_blob value = blob(bytes);
    curl_.easy_setopt(easy, option, &value);
  };
  set_blob(CURLOPT_CAINFO_BLOB, credentials_.authorities);
  // Named authorities replace the system's, which curl would add from its default directory.
  if (!credentials_.authorities.empty()) set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  set_blob(CURLOPT_SSLCERT_BLOB, credentials_.certificate);
  set_blob(CURLOPT_SSLKEY_BLOB, credentials_.key);
}

void Origin::add(CURL* easy) {
  ++under_way_;
  last_used_ = Clock::now();
  SUPV_CHECK(curl_.multi_add_handle(multi_, easy) == CURLM_OK);
}

void Origin::remove(CURL* easy) {
  --under_way_;
  last_used_ = Clock::now();
  curl_.multi_remove_handle(multi_, easy);
}

void Origin::act(curl_socket_t socket, int events) {
  if (socket == CURL_SOCKET_TIMEOUT) wake_.reset();
  int running = 0;
  curl_.multi_socket_action(multi_, socket, events, &running);
}

CURL* Origin::ended(CURLcode& result) {
  int left = 0;
  while (const CURLMsg* message = curl_.multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    result = message->data.result;
    return message->easy_handle;
  }
  return nullptr;
}

void Origin::without_multiplexing() {
  curl_.multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, kMaxPlainConnections);
}

int Origin::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto* origin = static_cast<Origin*>(self);
  origin->sockets_.watch(*origin, socket, what);
  return 0;
}

int Origin::on_timer(CURLM*, long timeout_ms, void* self) {
  auto* origin = static_cast<Origin*>(self);
  origin->wake_.reset();
  if (timeout_ms >= 0) origin->wake_ = Clock::now() + std::chrono::milliseconds(timeout_ms);
  return 0;
}

}  // namespace supv::courier
