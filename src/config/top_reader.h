#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/collect.h"
#include "config/reader.h"
#include "core/spec.h"

namespace supv {

/// Reads the blocks that are about the whole configuration: `consul`, `plugins` and `daemon`.
/// Several files may carry them as long as they say the same.
class TopReader {
 public:
  explicit TopReader(Reader& reader) : reader_(reader) {}

  void read(const Document& document, Config& config);
  /// The names under `consul: clusters:` read so far.
  static std::vector<std::string> cluster_names(const Config& config);

 private:
  void read_consul(const Node& map, Config& config);
  void read_cluster(const Node& map, const Level& level, ConsulSpec& spec);
  void check_address(const Node& node, const std::string& address);
  void read_plugins(const Document& document, const Node& node, PluginsSpec& plugins);
  void read_daemon(const Node& map, DaemonSpec& daemon);
  void read_people(const Fields& fields, std::string_view key, std::vector<std::string>& out);
  void differs(const Node& node, const Node& first, std::string_view what);

  Reader& reader_;
  std::map<std::string, const Node*> clusters_;  ///< Where each was said first.
  const Node* daemon_ = nullptr;
  const Node* plugin_user_ = nullptr;
  const Node* plugin_memory_ = nullptr;
};

}  // namespace supv
