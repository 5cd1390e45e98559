#include <fmt/core.h>

#include <algorithm>

#include "config/condition_reader.h"

namespace supv {
namespace {

constexpr std::uint32_t kMostWindow = 1000;
constexpr Duration kKvInterval{5000};
constexpr Duration kPrefixSettle{2000};
constexpr Duration kLeastPoll{100};

/// The parameters of one consul_kv, already checked against their declared types.
class Parameters {
 public:
  Parameters(const Node& name, const Node& map, const ConditionSpec& spec)
      : name_(name), map_(map), spec_(spec) {}

  const std::string* value(std::string_view option) const {
    for (const auto& [name, text] : spec_.options) {
      if (name == option) return &text;
    }
    return nullptr;
  }
  bool is(std::string_view option, std::string_view text) const {
    const std::string* found = value(option);
    return found != nullptr && *found == text;
  }
  std::string text(std::string_view option) const {
    const std::string* found = value(option);
    return found == nullptr ? "" : *found;
  }
  void duration(std::string_view option, Duration& out) const {
    if (const std::string* found = value(option)) out = Duration{std::stoll(*found)};
  }
  std::vector<std::string> list(std::string_view option) const {
    std::vector<std::string> items;
    const std::string* found = value(option);
    if (found == nullptr) return items;
    std::size_t begin = 0;
    for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
      end = found->find('\n', begin);
      items.push_back(found->substr(begin, end - begin));
    }
    return items;
  }
  bool written(std::string_view option) const { return at_or_null(option) != nullptr; }
  /// Where to point for a problem with an option.
  const Node& at(std::string_view option) const {
    const Node* node = at_or_null(option);
    return node == nullptr ? name_ : *node;
  }

 private:
  const Node* at_or_null(std::string_view option) const {
    const Node* node = map_.find(option);
    return node == nullptr || node->kind == Node::Kind::null ? nullptr : node;
  }
  const Node& name_;
  const Node& map_;
  const ConditionSpec& spec_;
};

bool valid_pointer(std::string_view pointer) {
  if (!pointer.empty() && pointer.front() != '/') return false;
  for (std::size_t at = pointer.find('~'); at != std::string_view::npos;
       at = pointer.find('~', at + 1)) {
    if (at + 1 >= pointer.size() || (pointer[at + 1] != '0' && pointer[at + 1] != '1')) {
      return false;
    }
  }
  return true;
}

/// Consul's keys have no leading slash; a doubled one is a typing error that it would keep.
std::string clean_path(std::string_view path) {
  std::string clean;
  for (const char c : path) {
    if (c == '/' && (clean.empty() || clean.back() == '/')) continue;
    clean += c;
  }
  return clean;
}

void read_path(Reader& reader, const Parameters& given, KvSpec& kv) {
  const bool key = given.value("key") != nullptr;
  kv.prefix = given.value("prefix") != nullptr;
  if (key == kv.prefix) {
    reader.error(
        given.at(kv.prefix ? "prefix" : "key"),
        key ? "consul_kv takes 'key' or 'prefix', not both" : "consul_kv needs 'key' or 'prefix'");
    return;
  }
  const std::string_view option = kv.prefix ? "prefix" : "key";
  const std::string path = given.text(option);
  kv.path = clean_path(path);
  if (kv.path.empty()) {
    reader.error(given.at(option), fmt::format("'{}' is empty", option));
  } else if (kv.path != path) {
    reader.warning(given.at(option), fmt::format("'{}' is read as '{}'", path, kv.path),
                   "Consul's keys have no leading and no doubled slash");
  }
}

void read_pointers(Reader& reader, const Parameters& given, std::string_view option,
                   std::vector<std::string>& out) {
  if (!given.written(option)) return;
  out = given.list(option);
  for (const std::string& pointer : out) {
    if (valid_pointer(pointer)) continue;
    reader.error(given.at(option), fmt::format("'{}' is not a JSON pointer", pointer),
                 pointer.starts_with('/') || pointer.empty()
                     ? "after '~' comes 0 (for ~) or 1 (for /)"
                     : fmt::format("write '/{}'", pointer));
  }
}

void read_window(Reader& reader, const Parameters& given, KvSpec& kv) {
  const std::string* text = given.value("window");
  if (text == nullptr) return;
  const auto window = parse_unsigned(*text);
  if (!window || *window < 2 || *window > kMostWindow) {
    reader.error(given.at("window"), fmt::format("'window' is between 2 and {}", kMostWindow),
                 "the baseline and the newest sample are two");
    return;
  }
  kv.window = static_cast<std::uint32_t>(*window);
}

void read_times(Reader& reader, const Parameters& given, KvSpec& kv) {
  kv.settle = kv.prefix ? kPrefixSettle : Duration{0};
  given.duration("settle", kv.settle);
  given.duration("settle_max", kv.settle_max);
  given.duration("min_interval", kv.min_interval);
  if (given.value("settle_max") != nullptr && kv.settle_max < kv.settle) {
    reader.error(
        given.at("settle_max"),
        fmt::format("'settle_max' is less than 'settle', which is {}", format_duration(kv.settle)));
  }
  kv.interval = kKvInterval;
  if (given.written("interval")) reader.duration(given.at("interval"), kv.interval, kLeastPoll);
}

}  // namespace

bool read_kv(Reader& reader, const Node& name, const Node& parameters,
             const std::vector<std::string>& clusters, ConditionSpec& spec) {
  const std::size_t before = reader.report().errors();
  const Parameters given(name, parameters, spec);
  KvSpec kv;
  read_path(reader, given, kv);
  read_pointers(reader, given, "select", kv.select);
  read_pointers(reader, given, "ignore", kv.ignore);
  read_window(reader, given, kv);
  read_times(reader, given, kv);
  kv.mode = given.is("mode", "poll") ? KvSpec::Mode::poll : KvSpec::Mode::watch;
  kv.on_delete =
      given.is("on_delete", "change") ? KvSpec::OnDelete::change : KvSpec::OnDelete::hold;
  kv.on_invalid = given.is("on_invalid", "raw") ? KvSpec::OnInvalid::raw : KvSpec::OnInvalid::hold;
  if (given.written("on_invalid") && kv.select.empty() && kv.ignore.empty()) {
    reader.error(given.at("on_invalid"), "'on_invalid' counts only with 'select' or 'ignore'");
  }
  kv.missed = given.is("missed", "ignore")   ? KvSpec::Missed::ignore
              : given.is("missed", "notify") ? KvSpec::Missed::notify
                                             : KvSpec::Missed::act;
  kv.datacenter = given.text("datacenter");
  kv.cluster = given.text("consul");
  if (!kv.cluster.empty() &&
      std::find(clusters.begin(), clusters.end(), kv.cluster) == clusters.end()) {
    reader.unknown(given.at("consul"),
                   fmt::format("there is no '{}' under 'consul: clusters:'", kv.cluster),
                   kv.cluster, {clusters.begin(), clusters.end()});
  }
  if (spec.action == Action::restart && !given.written("splay")) {
    reader.warning(name, "a change of this key restarts every host at the same moment",
                   "spread them with 'splay: 30s'; 'splay: 0s' says that it is meant");
  }
  spec.interval = kv.interval;
  spec.kv = std::move(kv);
  return reader.report().errors() == before;
}

}  // namespace supv
