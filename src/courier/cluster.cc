#include "courier/cluster.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace supv {
namespace {

using Environment = std::map<std::string, std::string>;

std::string lookup(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

const std::string& first_of(const std::string& file, const std::string& environment) {
  return file.empty() ? environment : file;
}

/// The spellings of Go's strconv.ParseBool, which Consul's own tools use. Empty: not set.
std::optional<bool> lookup_bool(const Environment& environment, const char* name,
                                std::vector<std::string>& warnings) {
  static constexpr std::array kTrue{"1", "t", "T", "TRUE", "true", "True"};
  static constexpr std::array kFalse{"0", "f", "F", "FALSE", "false", "False"};
  const std::string value = lookup(environment, name);
  if (value.empty()) return std::nullopt;
  if (std::find(kTrue.begin(), kTrue.end(), value) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), value) != kFalse.end()) return false;
  warnings.push_back(std::string(name) + " is neither true nor false and is ignored");
  return std::nullopt;
}

std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

void resolve_token(const ConsulSpec& spec, const Environment& environment,
                   ResolvedCluster& cluster) {
  if (!spec.token_file.empty() || !spec.token.empty()) {
    cluster.token_file = spec.token_file;
    cluster.token = spec.token;
  } else {
    cluster.token_file = lookup(environment, "CONSUL_HTTP_TOKEN_FILE");
    cluster.token = lookup(environment, "CONSUL_HTTP_TOKEN");
  }
  if (!cluster.token_file.empty()) cluster.token.clear();
}

/// Authorities and client certificates are taken as pairs from one place: a file that pins an
/// authority is not widened by the environment.
void resolve_tls(const ConsulSpec& spec, const Environment& environment, ResolvedCluster& cluster) {
  courier::Connection& connection = cluster.connection;
  if (!spec.ca_file.empty() || !spec.ca_path.empty()) {
    connection.ca_file = spec.ca_file;
    connection.ca_path = spec.ca_path;
  } else {
    connection.ca_file = lookup(environment, "CONSUL_CACERT");
    connection.ca_path = lookup(environment, "CONSUL_CAPATH");
  }
  if (!spec.client_cert.empty() || !spec.client_key.empty()) {
    connection.client_cert = spec.client_cert;
    connection.client_key = spec.client_key;
  } else {
    connection.client_cert = lookup(environment, "CONSUL_CLIENT_CERT");
    connection.client_key = lookup(environment, "CONSUL_CLIENT_KEY");
  }
  if (connection.client_cert.empty() && !connection.client_key.empty())
    cluster.error = "client_key needs a client_cert";
  connection.tls_server_name =
      first_of(spec.tls_server_name, lookup(environment, "CONSUL_TLS_SERVER_NAME"));
  const auto verify = lookup_bool(environment, "CONSUL_HTTP_SSL_VERIFY", cluster.warnings);
  connection.insecure = spec.insecure.value_or(!verify.value_or(true));
}

void resolve_query(const ConsulSpec& spec, const Environment& environment,
                   ResolvedCluster& cluster) {
  const std::pair<const char*, std::string> parameters[] = {
      {"dc", spec.datacenter},
      {"ns", first_of(spec.name_space, lookup(environment, "CONSUL_NAMESPACE"))},
      {"partition", first_of(spec.partition, lookup(environment, "CONSUL_PARTITION"))}};
  const auto add = [&cluster](const std::string& parameter) {
    if (!cluster.query.empty()) cluster.query += '&';
    cluster.query += parameter;
  };
  for (const auto& [name, value] : parameters)
    if (!value.empty()) add(std::string(name) + '=' + percent_encode(value));
  if (spec.consistency == "stale" || spec.consistency == "consistent") add(spec.consistency);
}

/// The text after scheme://, or why it cannot be one.
std::string check_authority(std::string_view rest) {
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.empty()) return "names no host";
  if (authority.find('@') != std::string_view::npos)
    return "must not contain a user or a password; use token or token_file";
  if (rest.find_first_of("?#") != std::string_view::npos) return "must not contain ? or #";
  const bool printable = std::all_of(rest.begin(), rest.end(), [](char c) {
    return c > ' ' && c != '\x7f' && c != '"' && c != '<' && c != '>' && c != '\\';
  });
  return printable ? "" : "contains a character that is not allowed there";
}

void warn_about_tls(const std::string& address, bool asked_plain, bool tls,
                    ResolvedCluster& cluster) {
  const courier::Connection& connection = cluster.connection;
  if (tls && asked_plain)
    cluster.warnings.push_back("CONSUL_HTTP_SSL is set: using https for " + address);
  if (tls && connection.insecure)
    cluster.warnings.push_back("the certificate of " + address + " is not verified");
  const bool has_tls_settings = !connection.ca_file.empty() || !connection.ca_path.empty() ||
                                !connection.client_cert.empty() ||
                                !connection.tls_server_name.empty();
  if (!tls && has_tls_settings)
    cluster.warnings.push_back("TLS settings have no effect: " + address + " is not https");
}

void resolve_address(const ConsulSpec& spec, const Environment& environment,
                     ResolvedCluster& cluster) {
  std::string address = first_of(spec.address, lookup(environment, "CONSUL_HTTP_ADDR"));
  if (address.empty()) address = "127.0.0.1:8500";
  bool tls = lookup_bool(environment, "CONSUL_HTTP_SSL", cluster.warnings).value_or(false);

  const auto colon = address.find("://");
  const std::string scheme = colon == std::string::npos ? "" : address.substr(0, colon);
  std::string rest = colon == std::string::npos ? address : address.substr(colon + 3);
  if (scheme == "unix") {
    cluster.connection.unix_socket = rest;
    if (rest.empty() || rest.front() != '/')
      cluster.error = "address \"" + address + "\" needs an absolute path: unix:///path";
    rest = "localhost";
  } else if (!scheme.empty() && scheme != "http" && scheme != "https") {
    cluster.error = "address must begin with http://, https:// or unix://, not " + scheme + "://";
  }
  tls = tls || scheme == "https";
  while (!rest.empty() && rest.back() == '/') rest.pop_back();
  if (const std::string wrong = check_authority(rest); !wrong.empty() && cluster.error.empty())
    cluster.error = "address " + wrong;  // Not quoted: it may hold a password.
  if (!cluster.error.empty()) return;
  cluster.base_url = (tls ? "https://" : "http://") + rest;

  const std::string authority = rest.substr(0, rest.find('/'));
  const bool has_port = authority.back() != ']' && authority.rfind(':') != std::string::npos;
  if (!tls && !has_port && scheme != "unix")
    cluster.warnings.push_back(address + " names no port: 80 is used, Consul's own is 8500");
  warn_about_tls(address, scheme == "http", tls, cluster);
}

/// `stale`, `consistent` and `default` exclude each other, so they count as one parameter.
std::string_view parameter_name(std::string_view parameter) {
  const std::string_view name = parameter.substr(0, parameter.find('='));
  return name == "stale" || name == "default" ? "consistent" : name;
}

template <typename Visit>
void for_each_parameter(std::string_view query, Visit visit) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    if (end > 0) visit(query.substr(0, end));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

}  // namespace

std::string ResolvedCluster::shown() const {
  return connection.unix_socket.empty() ? base_url : "unix://" + connection.unix_socket;
}

ResolvedCluster resolve_cluster(const ConsulSpec& spec, const Environment& environment) {
  ResolvedCluster cluster;
  cluster.timeout = spec.timeout;
  resolve_token(spec, environment, cluster);
  resolve_tls(spec, environment, cluster);
  resolve_query(spec, environment, cluster);
  resolve_address(spec, environment, cluster);
  return cluster;
}

std::string cluster_url(const ResolvedCluster& cluster, std::string_view path_and_query) {
  std::string url = cluster.base_url + std::string(path_and_query);
  const auto mark = path_and_query.find('?');
  const std::string_view own =
      mark == std::string_view::npos ? std::string_view() : path_and_query.substr(mark + 1);
  bool first = mark == std::string_view::npos;
  for_each_parameter(cluster.query, [&](std::string_view parameter) {
    bool named = false;
    for_each_parameter(own, [&](std::string_view other) {
      named = named || parameter_name(other) == parameter_name(parameter);
    });
    if (named) return;
    url += first ? '?' : '&';
    url += parameter;
    first = false;
  });
  return url;
}

courier::Request cluster_request(const ResolvedCluster& cluster, const std::string& token,
                                 std::string_view path_and_query) {
  courier::Request request;
  request.url = cluster_url(cluster, path_and_query);
  request.connection = cluster.connection;
  if (!token.empty()) request.headers.push_back("X-Consul-Token: " + token);
  request.deadline_ms =
      static_cast<std::uint32_t>(std::clamp<Duration::rep>(cluster.timeout.count(), 1, 3600'000));
  return request;
}

}  // namespace supv
