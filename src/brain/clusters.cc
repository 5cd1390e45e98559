#include "brain/clusters.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace supv {

namespace {

constexpr int kForbidden = 403;
constexpr const char* kDied = "courier died";

/// Adds a query parameter to a path that may have some already.
std::string with_parameter(std::string path, std::string_view parameter) {
  path += path.find('?') == std::string::npos ? '?' : '&';
  return path.append(parameter);
}

/// Percent-encoding of everything that is not plain; a key's slashes stay.
std::string encoded(std::string_view text, std::string_view also_plain) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       also_plain.find(c) != std::string_view::npos;
    if (plain) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

std::uint32_t milliseconds(Duration duration) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(duration.count(), 1, std::numeric_limits<std::int32_t>::max()));
}

protocol::KvAnswer kv_answer(const std::string& action, courier::Done done) {
  protocol::KvAnswer answer;
  if (done.status == 0) {
    answer.code = code::kFailed;
    answer.text = done.error;
    return answer;
  }
  if (done.status == 404 && action == "get") {
    answer.code = code::kFailed;
    answer.text = "no such key";
    return answer;
  }
  if (done.status != 200) {
    answer.code = done.status == kForbidden ? code::kDenied : code::kFailed;
    answer.text = fmt::format("Consul answered {}", done.status);
    return answer;
  }
  answer.index = action == "get" ? done.index : 0;
  if (action == "get") {
    answer.value = std::move(done.body);
  } else if (done.body.rfind("true", 0) != 0) {
    answer.code = code::kFailed;
    answer.text = "Consul did not do it";
  } else {
    answer.text = action == "put" ? "written" : "deleted";
  }
  return answer;
}

}  // namespace

Clusters::Clusters(std::map<std::string, std::string> environment, Ears ears)
    : environment_(std::move(environment)), ears_(std::move(ears)) {}

std::vector<std::string> Clusters::apply(const std::map<std::string, ConsulSpec>& clusters,
                                         const std::string& dev_address) {
  std::vector<std::string> warnings;
  std::map<std::string, Cluster> next;
  for (const auto& [name, spec] : clusters) {
    ResolvedCluster resolved;
    if (name.empty() && !dev_address.empty()) {
      // Neither token nor TLS nor datacenter of the real one mean anything to it.
      ConsulSpec trial;
      trial.address = dev_address;
      trial.timeout = spec.timeout;
      resolved = resolve_cluster(trial, {});
    } else {
      resolved = resolve_cluster(spec, environment_);
    }
    const std::string shown = name.empty() ? "consul" : fmt::format("consul cluster {}", name);
    for (const std::string& warning : resolved.warnings) {
      warnings.push_back(fmt::format("{}: {}", shown, warning));
    }
    if (!resolved.error.empty()) warnings.push_back(fmt::format("{}: {}", shown, resolved.error));
    TokenSource token(resolved);
    next.emplace(name, Cluster{std::move(resolved), std::move(token)});
  }
  clusters_ = std::move(next);
  return warnings;
}

void Clusters::ask(const fx::Http& http) {
  Asked asked{http.tag, http.cluster, nullptr, {}};
  const auto found = clusters_.find(http.cluster);
  if (found == clusters_.end()) return fail(std::move(asked), "no such Consul cluster");
  Cluster& cluster = found->second;
  if (!cluster.resolved.error.empty()) return fail(std::move(asked), cluster.resolved.error);
  std::string path = http.path_and_query;
  if (!http.datacenter.empty()) path = with_parameter(path, "dc=" + encoded(http.datacenter, ""));
  if (http.consistent) path = with_parameter(path, "consistent");
  courier::Request request = cluster_request(cluster.resolved, cluster.token.current(), path);
  request.reuse = http.reuse;
  request.deadline_ms = milliseconds(http.deadline);
  send(std::move(request), std::move(asked));
}

void Clusters::kv(const protocol::Call& call, KvDone done) {
  Asked asked{0, {}, std::move(done), call.kv_action};
  const auto found = clusters_.find("");
  if (found == clusters_.end()) return fail(std::move(asked), "no Consul is configured");
  Cluster& cluster = found->second;
  if (!cluster.resolved.error.empty()) return fail(std::move(asked), cluster.resolved.error);
  std::string path = "/v1/kv/" + encoded(call.key, "/");
  if (call.kv_action == "get") path += "?raw";
  courier::Request request = cluster_request(cluster.resolved, cluster.token.current(), path);
  if (call.kv_action == "put") {
    request.method = courier::Method::put;
    request.body = call.value;
  } else if (call.kv_action == "delete") {
    request.method = courier::Method::remove;
  }
  request.deadline_ms = milliseconds(cluster.resolved.timeout);
  send(std::move(request), std::move(asked));
}

void Clusters::send(courier::Request request, Asked asked) {
  CourierChannel* courier = ears_.courier();
  if (courier == nullptr) return fail(std::move(asked), kDied);
  request.tag = ++last_tag_;
  if (!courier->send(request)) return fail(std::move(asked), "the courier takes no more requests");
  asked_.emplace(request.tag, std::move(asked));
}

void Clusters::fail(Asked asked, std::string error) {
  courier::Done done;
  done.error = std::move(error);
  ready_.emplace_back(std::move(asked), std::move(done));
}

void Clusters::hear(courier::Done done) {
  const auto found = asked_.find(done.tag);
  if (found == asked_.end()) return;
  const Asked asked = std::move(found->second);
  asked_.erase(found);
  const auto cluster = clusters_.find(asked.cluster);
  if (done.status == kForbidden && cluster != clusters_.end()) cluster->second.token.refused();
  conclude(asked, std::move(done));
}

void Clusters::conclude(const Asked& asked, courier::Done done) {
  if (asked.kv) return asked.kv(kv_answer(asked.kv_action, std::move(done)));
  ev::HttpDone event;
  event.tag = asked.core_tag;
  event.reply = {done.status,       std::move(done.error), done.index,
                 done.known_leader, done.retry_after_s,    std::move(done.body)};
  ears_.done(std::move(event));
}

void Clusters::lost() {
  for (auto& [tag, asked] : asked_) fail(std::move(asked), kDied);
  asked_.clear();
}

void Clusters::say_ready() {
  for (auto& [asked, done] : std::exchange(ready_, {})) conclude(asked, std::move(done));
}

}  // namespace supv
