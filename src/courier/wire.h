#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What brain and courier say to each other over a SOCK_SEQPACKET channel. The courier outlives
/// brains: every brain opens with a Hello and drops what it reads until the Welcome that repeats
/// its session number, so an answer meant for an earlier brain is never taken for its own.
namespace supv::courier {

/// The largest answer that is carried; a larger one becomes an error.
inline constexpr std::size_t kMaxBody = std::size_t{8} * 1024 * 1024;
/// The largest request, everything counted.
inline constexpr std::size_t kMaxRequest = std::size_t{1024} * 1024;

/// Those of HTTP, and two that are not HTTP: a mail, and one UDP datagram.
enum class Method : std::uint8_t { get, put, remove, head, post, patch, options, mail, datagram };
/// "GET", "DELETE", ... to a method of HTTP.
std::optional<Method> parse_method(std::string_view text);

/// How the server of a request is reached, apart from its URL.
struct Connection {
  std::string unix_socket;  ///< Path; the URL's host is then only a name.
  std::string ca_file;      ///< PEM. With `ca_path` it replaces the system's authorities.
  std::string ca_path;      ///< A directory of PEM files, hashed names not needed (as in Consul).
  std::string client_cert;
  std::string client_key;
  std::string tls_server_name;  ///< Name for SNI and verification instead of the URL's host.
  bool insecure = false;        ///< Does not verify the server's certificate.
  std::string proxy{};  ///< URL of an HTTP proxy; empty: none, whatever the environment says.
  bool operator==(const Connection&) const = default;
};

/// The envelope of a mail; its text, headers included, is the request's body.
struct Envelope {
  enum class Tls : std::uint8_t { none, attempt, require };
  std::string from;                     ///< Addresses, without angle brackets.
  std::vector<std::string> recipients;  ///< The mail is refused if one of them is.
  std::string user;                     ///< Empty: no authentication.
  std::string password;                 ///< Never shown.
  Tls tls = Tls::none;                  ///< STARTTLS, for smtp://.
  bool operator==(const Envelope&) const = default;
};

struct Request {
  std::uint64_t tag = 0;  ///< Names the answer.
  /// Not empty: the answer may be handed to the next brain that asks with the same key, headers
  /// and connection, while the request is under way or 60 s after its end.
  std::string reuse;
  Method method = Method::get;
  /// http:// or https://; for a mail smtp:// or smtps:// (its path is the name for HELO); for a
  /// datagram udp://HOST:PORT.
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"; may hold secrets, never shown.
  /// Of every method but mail and datagram optional. Without a Content-Type among the headers it
  /// is application/octet-stream.
  std::string body;
  std::uint32_t redirects = 0;  ///< So many are followed; with 0 a redirect is the answer.
  Envelope envelope;            ///< Only for mail.
  Connection connection;
  std::uint32_t deadline_ms = 10000;  ///< For the whole exchange, connecting included.
  std::uint32_t connect_ms = 3000;    ///< For connecting, name resolution included.
};

struct Done {
  std::uint64_t tag = 0;
  /// 0: no answer; `error` says why. Of a mail the server's last reply (250), of a datagram 200
  /// once the network has taken it.
  int status = 0;
  std::string error;                  ///< One line without secrets.
  std::uint64_t index = 0;            ///< X-Consul-Index; 0 when absent.
  bool known_leader = true;           ///< X-Consul-KnownLeader; true when absent.
  std::uint64_t last_contact_ms = 0;  ///< X-Consul-LastContact
  std::uint64_t retry_after_s = 0;    ///< Retry-After in seconds; 0 when absent or a date.
  std::string body;
};

/// A message as it travels: `kind` beside a payload that only the matching decode understands.
enum class Kind : std::uint32_t { hello = 1, request, welcome, done };

std::string encode(const Request& request);
std::string encode(const Done& done);
/// The payload of hello and welcome.
std::string encode_session(std::uint64_t session);
/// Empty when the payload is malformed in any way.
std::optional<Request> decode_request(std::string_view payload);
std::optional<Done> decode_done(std::string_view payload);
std::optional<std::uint64_t> decode_session(std::string_view payload);

}  // namespace supv::courier
