#include "courier/origin.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/check.h"

namespace supv::courier {
namespace {

/// A Consul agent refuses the 201st connection of a client; this leaves room for its orphans.
constexpr long kMaxPlainConnections = 64;
constexpr long kMaxTlsConnections = 2;
constexpr long kMaxStreams = 250;  ///< What a Consul agent allows on one connection.
constexpr long kConnectTimeoutMs = 3000;

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
  UrlParts parts;
  if (url.substr(0, 8) == "https://") {
    parts.tls = true;
    url.remove_prefix(8);
  } else if (url.substr(0, 7) == "http://") {
    url.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  const auto slash = std::min(url.find_first_of("/?"), url.size());
  const std::string_view authority = url.substr(0, slash);
  parts.rest = url.substr(slash);
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  parts.host = authority.substr(0, has_port ? colon : authority.size());
  if (has_port) parts.port = authority.substr(colon + 1);
  if (parts.port.empty()) parts.port = parts.tls ? "443" : "80";
  if (parts.host.empty()) return std::nullopt;
  return parts;
}

Origin::Origin(const CurlApi& curl, SocketWatch& sockets, const UrlParts& url,
               const Connection& connection, Credentials credentials)
    : curl_(curl),
      sockets_(sockets),
      connection_(connection),
      credentials_(std::move(credentials)),
      tls_(url.tls),
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
  set(CURLOPT_NOPROXY, "*");  // libcurl would send even loopback through http_proxy.
  set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_ACCEPT_ENCODING, "gzip");
  if (!connection_.unix_socket.empty())
    set(CURLOPT_UNIX_SOCKET_PATH, connection_.unix_socket.c_str());
  if (!tls_) {
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    return;
  }
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_PIPEWAIT, 1L);
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
