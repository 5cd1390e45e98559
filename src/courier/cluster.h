#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/spec.h"
#include "courier/wire.h"

namespace supv {

/// A Consul cluster as it is really reached: the file's words, below them the environment's.
struct ResolvedCluster {
  std::string base_url;  ///< "http://127.0.0.1:8500/prefix", without a slash at the end.
  courier::Connection connection;
  std::string token;       ///< Only when there is no `token_file`. Never shown.
  std::string token_file;  ///< See TokenSource.
  std::string query;       ///< "dc=east&ns=team&stale", what every request carries; may be empty.
  Duration timeout{10000};
  std::string error;  ///< Not empty: the settings make no sense and nothing can be asked.
  std::vector<std::string> warnings;  ///< One line each, without secrets.
  /// What may be shown to users: the base URL, or unix:///path.
  std::string shown() const;
};

/// Pure: reads nothing but its arguments. Token and token_file of the spec win over both of the
/// environment, and within either the file wins over the literal. https:// or CONSUL_HTTP_SSL
/// force TLS, http:// never takes it back.
ResolvedCluster resolve_cluster(const ConsulSpec& spec,
                                const std::map<std::string, std::string>& environment);

/// `base_url` + `path_and_query` + those parameters of `query` that it does not name itself
/// (`stale`, `consistent` and `default` are one parameter).
std::string cluster_url(const ResolvedCluster& cluster, std::string_view path_and_query);

/// A request to a cluster, complete except for tag, reuse key and what a PUT carries.
courier::Request cluster_request(const ResolvedCluster& cluster, const std::string& token,
                                 std::string_view path_and_query);

/// The token that is valid now. A token file is read again when it changed and after a refusal;
/// surrounding white space does not count, and an empty or unreadable file keeps the last token.
class TokenSource {
 public:
  TokenSource() = default;
  explicit TokenSource(const ResolvedCluster& cluster);
  /// Looks at the file (one stat) and returns the token; empty: anonymous.
  const std::string& current();
  /// The cluster answered 403: the next current() reads the file whatever its time stamp says.
  void refused() { read_again_ = true; }
  /// What is wrong with the file at present, one line; empty: nothing.
  const std::string& problem() const { return problem_; }

 private:
  void read();

  std::string file_;
  std::string token_;
  std::string problem_;
  std::int64_t changed_ns_ = -1;
  std::uint64_t inode_ = 0;
  std::int64_t size_ = -1;
  bool read_again_ = true;
};

}  // namespace supv
