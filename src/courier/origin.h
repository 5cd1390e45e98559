#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "courier/credentials.h"
#include "courier/curl_api.h"
#include "courier/wire.h"

namespace supv::courier {

using Clock = std::chrono::steady_clock;

/// Scheme, host and port of a URL. Host keeps the brackets of an IPv6 address.
struct UrlParts {
  std::string scheme;  ///< http, https, smtp, smtps, udp
  bool tls = false;    ///< From the first byte on.
  std::string host;
  std::string port;  ///< The scheme's own when the URL has none; udp has none.
  std::string rest;  ///< From the path on.
  std::string authority() const { return host + ':' + port; }
  bool mail() const { return scheme.starts_with("smtp"); }
};
/// Empty for any other scheme, and without a host or a port.
std::optional<UrlParts> split_url(std::string_view url);

/// Who polls an origin's sockets.
class SocketWatch {
 public:
  virtual ~SocketWatch() = default;
  /// `what` is one of CURL_POLL_*.
  virtual void watch(class Origin& origin, curl_socket_t socket, int what) = 0;
};

/// One server reached with one set of credentials: a pool of connections of its own. Changed
/// certificates make a new origin, while what is under way on the old one comes to its end.
class Origin {
 public:
  Origin(const CurlApi& curl, SocketWatch& sockets, const UrlParts& url,
         const Connection& connection, Credentials credentials);
  ~Origin();
  Origin(const Origin&) = delete;
  Origin& operator=(const Origin&) = delete;

  /// Tells an easy handle how this server is reached. What it is given must outlive the handle.
  void configure(CURL* easy) const;
  void add(CURL* easy);
  void remove(CURL* easy);
  /// Something happened on `socket` (CURL_CSELECT_*), or CURL_SOCKET_TIMEOUT.
  void act(curl_socket_t socket, int events);
  /// A transfer that has ended since, or null.
  CURL* ended(CURLcode& result);
  /// The server turned out to speak HTTP/1.1 over TLS: it needs a connection for every request.
  void without_multiplexing();

  /// When act(CURL_SOCKET_TIMEOUT) is due.
  std::optional<Clock::time_point> wake() const { return wake_; }
  std::size_t under_way() const { return under_way_; }
  Clock::time_point last_used() const { return last_used_; }
  bool tls() const { return tls_; }
  bool shows_certificate() const { return !credentials_.certificate.empty(); }

 private:
  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM*, long timeout_ms, void* self);

  const CurlApi& curl_;
  SocketWatch& sockets_;
  Connection connection_;
  Credentials credentials_;
  bool tls_;
  bool mail_;
  CURLM* multi_;
  curl_slist* connect_to_ = nullptr;
  std::optional<Clock::time_point> wake_;
  std::size_t under_way_ = 0;
  Clock::time_point last_used_;
};

}  // namespace supv::courier
