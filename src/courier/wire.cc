#include "courier/wire.h"

#include <utility>

#include "base/pack.h"

namespace supv::courier {
namespace {

void write(PackWriter& out, const Connection& connection) {
  for (const std::string* text :
       {&connection.unix_socket, &connection.ca_file, &connection.ca_path, &connection.client_cert,
        &connection.client_key, &connection.tls_server_name, &connection.proxy})
    out.text(*text);
  out.flag(connection.insecure);
}

Connection read_connection(PackReader& in) {
  Connection connection;
  for (std::string* text :
       {&connection.unix_socket, &connection.ca_file, &connection.ca_path, &connection.client_cert,
        &connection.client_key, &connection.tls_server_name, &connection.proxy})
    *text = in.text();
  connection.insecure = in.flag();
  return connection;
}

void write(PackWriter& out, const Envelope& envelope) {
  out.text(envelope.from);
  out.number(static_cast<std::uint32_t>(envelope.recipients.size()));
  for (const std::string& recipient : envelope.recipients) out.text(recipient);
  out.text(envelope.user);
  out.text(envelope.password);
  out.number(envelope.tls);
}

/// False when its TLS is none that exists.
bool read(PackReader& in, Envelope& envelope) {
  envelope.from = in.text();
  const auto recipients = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; in.ok() && i < recipients; ++i)
    envelope.recipients.push_back(in.text());
  envelope.user = in.text();
  envelope.password = in.text();
  const auto tls = in.number<std::uint8_t>();
  envelope.tls = static_cast<Envelope::Tls>(tls);
  return tls <= static_cast<std::uint8_t>(Envelope::Tls::require);
}

}  // namespace

std::optional<Method> parse_method(std::string_view text) {
  constexpr std::pair<std::string_view, Method> kMethods[] = {
      {"GET", Method::get},         {"PUT", Method::put},   {"DELETE", Method::remove},
      {"HEAD", Method::head},       {"POST", Method::post}, {"PATCH", Method::patch},
      {"OPTIONS", Method::options},
  };
  for (const auto& [name, method] : kMethods)
    if (name == text) return method;
  return std::nullopt;
}

std::string encode(const Request& request) {
  PackWriter out;
  out.number(request.tag);
  out.text(request.reuse);
  out.number(request.method);
  out.text(request.url);
  out.number(static_cast<std::uint32_t>(request.headers.size()));
  for (const std::string& header : request.headers) out.text(header);
  out.text(request.body);
  out.number(request.redirects);
  write(out, request.envelope);
  write(out, request.connection);
  out.number(request.deadline_ms);
  out.number(request.connect_ms);
  return out.take();
}

std::optional<Request> decode_request(std::string_view payload) {
  PackReader in(payload);
  Request request;
  request.tag = in.number<std::uint64_t>();
  request.reuse = in.text();
  const auto method = in.number<std::uint8_t>();
  if (method > static_cast<std::uint8_t>(Method::datagram)) return std::nullopt;
  request.method = static_cast<Method>(method);
  request.url = in.text();
  const auto headers = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; in.ok() && i < headers; ++i) request.headers.push_back(in.text());
  request.body = in.text();
  request.redirects = in.number<std::uint32_t>();
  if (!read(in, request.envelope)) return std::nullopt;
  request.connection = read_connection(in);
  request.deadline_ms = in.number<std::uint32_t>();
  request.connect_ms = in.number<std::uint32_t>();
  if (!in.complete()) return std::nullopt;
  return request;
}

std::string encode(const Done& done) {
  PackWriter out;
  out.number(done.tag);
  out.number(static_cast<std::int32_t>(done.status));
  out.text(done.error);
  out.number(done.index);
  out.flag(done.known_leader);
  out.number(done.last_contact_ms);
  out.number(done.retry_after_s);
  out.text(done.body);
  return out.take();
}

std::optional<Done> decode_done(std::string_view payload) {
  PackReader in(payload);
  Done done;
  done.tag = in.number<std::uint64_t>();
  done.status = in.number<std::int32_t>();
  done.error = in.text();
  done.index = in.number<std::uint64_t>();
  done.known_leader = in.flag();
  done.last_contact_ms = in.number<std::uint64_t>();
  done.retry_after_s = in.number<std::uint64_t>();
  done.body = in.text();
  if (!in.complete()) return std::nullopt;
  return done;
}

std::string encode_session(std::uint64_t session) {
  PackWriter out;
  out.number(session);
  return out.take();
}

std::optional<std::uint64_t> decode_session(std::string_view payload) {
  PackReader in(payload);
  const auto session = in.number<std::uint64_t>();
  if (!in.complete()) return std::nullopt;
  return session;
}

}  // namespace supv::courier
