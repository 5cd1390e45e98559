#include "config/top_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

namespace supv {
namespace {

/// Below this the program itself hardly fits.
constexpr std::uint64_t kLeastPluginMemory = std::uint64_t{16} << 20;

}  // namespace

void TopReader::read(const Document& document, Config& config) {
  reader_.expander().enter(&document.scope, "");
  const Node* consul = document.find("consul");
  if (consul != nullptr && consul->kind != Node::Kind::null &&
      reader_.require(*consul, Node::Kind::map, "a map, like {address: …}")) {
    read_consul(*consul, config);
  }
  const Node* plugins = document.find("plugins");
  if (plugins != nullptr && plugins->kind != Node::Kind::null)
    read_plugins(document, *plugins, config.plugins);
  const Node* daemon = document.find("daemon");
  if (daemon == nullptr || daemon->kind == Node::Kind::null) return;
  if (!reader_.require(*daemon, Node::Kind::map, "a map")) return;
  DaemonSpec spec;
  read_daemon(*daemon, spec);
  if (daemon_ != nullptr && !(spec == config.daemon)) {
    differs(*daemon, *daemon_, "daemon");
  } else if (daemon_ == nullptr) {
    daemon_ = daemon;
    config.daemon = std::move(spec);
  }
}

std::vector<std::string> TopReader::cluster_names(const Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, spec] : config.clusters) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

void TopReader::differs(const Node& node, const Node& first, std::string_view what) {
  Diagnostic diagnostic;
  diagnostic.place = node.place();
  diagnostic.text = fmt::format("'{}' says something else than before", what);
  diagnostic.related = first.place();
  diagnostic.related_text = "first time here";
  diagnostic.help = "say it once, or the same in every file";
  reader_.report().add(std::move(diagnostic));
}

void TopReader::read_consul(const Node& map, Config& config) {
  const auto keep = [&](const std::string& name, const Node& node, ConsulSpec spec) {
    const auto [known, fresh] = clusters_.emplace(name, &node);
    if (fresh) {
      config.clusters[name] = std::move(spec);
    } else if (!(config.clusters[name] == spec)) {
      differs(node, *known->second, name.empty() ? "consul" : name);
    }
  };
  ConsulSpec spec;
  read_cluster(map, consul_level(), spec);
  // A file that only adds clusters says nothing about the default one.
  const bool only_clusters =
      std::all_of(map.entries.begin(), map.entries.end(),
                  [](const Entry& entry) { return entry.key->text == "clusters"; });
  if (!only_clusters) keep("", map, std::move(spec));
  const Node* clusters = map.find("clusters");
  if (clusters == nullptr || clusters->kind == Node::Kind::null) return;
  if (!reader_.require(*clusters, Node::Kind::map, "a map of names to clusters")) return;
  for (const Entry& entry : clusters->entries) {
    if (!valid_name(entry.key->text)) {
      reader_.error(*entry.key,
                    fmt::format("'{}' cannot be the name of a cluster", entry.key->text));
      continue;
    }
    if (!reader_.require(*entry.value, Node::Kind::map, "a map, like {address: …}")) continue;
    ConsulSpec one;
    read_cluster(*entry.value, cluster_level(), one);
    keep(entry.key->text, *entry.value, std::move(one));
  }
}

void TopReader::read_cluster(const Node& map, const Level& level, ConsulSpec& spec) {
  const Fields fields(reader_, map, level);
  const auto text = [&](std::string_view key, std::string& out) {
    if (const Node* node = fields.find(key)) reader_.text(*node, out);
  };
  text("address", spec.address);
  if (!spec.address.empty()) check_address(*fields.find("address"), spec.address);
  text("token", spec.token);
  text("token_file", spec.token_file);
  text("ca_file", spec.ca_file);
  text("ca_path", spec.ca_path);
  text("client_cert", spec.client_cert);
  text("client_key", spec.client_key);
  text("tls_server_name", spec.tls_server_name);
  text("datacenter", spec.datacenter);
  text("namespace", spec.name_space);
  text("partition", spec.partition);
  if (const Node* node = fields.find("insecure")) {
    bool insecure = false;
    reader_.boolean(*node, insecure);
    spec.insecure = insecure;
  }
  if (const Node* node = fields.find("consistency")) {
    if (reader_.choice(*node, "default|stale|consistent")) reader_.text(*node, spec.consistency);
  }
  if (const Node* node = fields.find("timeout")) {
    reader_.duration(*node, spec.timeout, Duration{100});
  }
  if (const Node* node = fields.find("token_file"); node != nullptr && !spec.token.empty()) {
    reader_.error(*node, "'token' and 'token_file' exclude each other");
  }
  if (spec.client_cert.empty() != spec.client_key.empty()) {
    reader_.error(map, "'client_cert' and 'client_key' need each other");
  }
}

void TopReader::check_address(const Node& node, const std::string& address) {
  std::string_view rest = address;
  const std::size_t scheme = rest.find("://");
  if (scheme != std::string_view::npos) {
    const std::string_view name = rest.substr(0, scheme);
    rest.remove_prefix(scheme + 3);
    if (name == "unix") {
      if (rest.starts_with('/') && rest.size() > 1) return;
      reader_.error(node, "a unix address names a socket: unix:///run/consul.sock");
      return;
    }
    if (name != "http" && name != "https") {
      reader_.error(node, fmt::format("'{}' is not http, https or unix", name));
      return;
    }
  }
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const bool clean =
      !authority.empty() && authority.find_first_of(" @?#\\\"'<>") == std::string_view::npos;
  // The colon of a port stands behind the brackets of an IPv6 address.
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.rfind(':');
  const bool ported =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  const auto port =
      ported ? parse_unsigned(authority.substr(colon + 1)) : std::optional<std::uint64_t>(80);
  if (!clean || !port || *port < 1 || *port > 65535 || (ported && colon == 0)) {
    reader_.error(node, "this is not the address of a Consul agent",
                  "write it like http://127.0.0.1:8500");
  }
}

/// Files may each add places; user and memory are the same everywhere.
void TopReader::read_plugins(const Document& document, const Node& node, PluginsSpec& plugins) {
  static const Node kNone;
  const bool plain = !node.is_map();
  const Fields fields(reader_, plain ? kNone : node, plugins_level());
  const Node* paths = plain ? &node : fields.find("paths");
  std::vector<std::string> written;
  if (paths != nullptr) reader_.texts(*paths, written);
  for (const std::string& path : written) {
    const bool absolute = path.starts_with('/');
    const std::string whole = absolute ? path : document.source.dir + "/" + path;
    plugins.paths.push_back(std::filesystem::path(whole).lexically_normal().string());
    if (path.empty()) reader_.error(*paths, "a path of `plugins` is empty");
  }
  if (const Node* user = fields.find("user")) {
    std::string name;
    reader_.text(*user, name);
    if (plugin_user_ != nullptr && name != plugins.user)
      differs(*user, *plugin_user_, "user of plugins");
    plugin_user_ = user;
    plugins.user = name;
  }
  if (const Node* memory = fields.find("memory")) {
    const auto text = reader_.text(*memory);
    const auto bytes = text ? parse_size(*text) : std::nullopt;
    if (!bytes || *bytes < kLeastPluginMemory) {
      return reader_.error(*memory, "the memory of a plugin is a size of at least 16MB",
                           "write it like 256MB");
    }
    if (plugin_memory_ != nullptr && *bytes != plugins.memory)
      differs(*memory, *plugin_memory_, "memory of plugins");
    plugin_memory_ = memory;
    plugins.memory = *bytes;
  }
}

void TopReader::read_people(const Fields& fields, std::string_view key,
                            std::vector<std::string>& out) {
  const Node* node = fields.find(key);
  if (node == nullptr) return;
  reader_.texts(*node, out);
  for (const std::string& name : out) {
    const std::string_view bare = std::string_view(name).substr(name.starts_with('@') ? 1 : 0);
    if (bare.empty() || bare.find_first_of(" \t\n:/@,") != std::string_view::npos) {
      reader_.error(*node, fmt::format("'{}' is not a user or an @group", name));
    }
  }
}

void TopReader::read_daemon(const Node& map, DaemonSpec& daemon) {
  const Fields fields(reader_, map, daemon_level());
  read_people(fields, "operators", daemon.operators);
  read_people(fields, "readers", daemon.readers);
  if (const Node* node = fields.find("socket_mode")) {
    reader_.octal(*node, daemon.socket_mode);
    if (daemon.socket_mode && *daemon.socket_mode > 0777) {
      reader_.error(*node, "the mode of a socket is at most \"0777\"");
    }
  }
  if (const Node* node = fields.find("log")) reader_.text(*node, daemon.log);
  if (const Node* node = fields.find("log_level")) {
    if (reader_.choice(*node, "debug|info|warn|error")) reader_.text(*node, daemon.log_level);
  }
  if (const Node* node = fields.find("log_format")) {
    if (reader_.choice(*node, "text|json")) reader_.text(*node, daemon.log_format);
  }
  if (const Node* node = fields.find("shutdown_timeout")) {
    reader_.duration(*node, daemon.shutdown_timeout, Duration{1});
  }
}

}  // namespace supv
