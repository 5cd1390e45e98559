#include "config/condition_reader.h"

#include <fmt/core.h>

#include <algorithm>

namespace supv {
namespace {

constexpr std::string_view kConsulKv = "consul_kv";
constexpr std::size_t kMaxConditions = 256;
constexpr Duration kLeastInterval{10};
constexpr Duration kKeepaliveInterval{5000};

ConditionKind kind_of(const supv_condition_descriptor& kind) {
  switch (kind.kind) {
    case SUPV_POLL:
      return ConditionKind::poll;
    case SUPV_EXIT:
      return ConditionKind::exit;
    case SUPV_CHANGE:
      return ConditionKind::change;
  }
  return ConditionKind::poll;
}

std::span<const supv_option> options_of(const supv_condition_descriptor& kind) {
  return {kind.options, kind.option_count};
}

bool declares(const supv_condition_descriptor& kind, std::string_view option) {
  const auto options = options_of(kind);
  return std::any_of(options.begin(), options.end(),
                     [option](const supv_option& one) { return one.name == option; });
}

}  // namespace

void ConditionReader::begin_watch(Duration interval) {
  interval_ = interval;
  counted_.clear();
  ids_.clear();
}

const supv_condition_descriptor* ConditionReader::find(std::string_view name) const {
  for (const auto* kind : catalog_) {
    if (kind->name == name) return kind;
  }
  return nullptr;
}

void ConditionReader::read_list(const Node& list, Action action, std::vector<ConditionSpec>& out) {
  if (!list.is_list()) {
    reader_.error(list,
                  fmt::format("this must be a list of conditions, not {}", kind_name(list.kind)),
                  "write '- NAME: {…}' for each");
    return;
  }
  for (const Node* item : list.items) {
    if (reader_.report().full()) return;
    if (out.size() >= kMaxConditions) {
      reader_.error(*item, fmt::format("a watch can have {} conditions", kMaxConditions));
      return;
    }
    read_item(*item, action, out);
  }
}

void ConditionReader::read_item(const Node& item, Action action, std::vector<ConditionSpec>& out) {
  if (item.is_scalar()) {
    Node none;
    none.kind = Node::Kind::map;
    none.source = item.source;
    none.offset = item.offset;
    none.length = item.length;
    read_one(item, arena_.make(std::move(none)), action, out);
    return;
  }
  if (!item.is_map() || item.entries.empty()) {
    reader_.error(item, fmt::format("a condition is NAME or NAME: {{…}}, not {}",
                                    item.is_map() ? "an empty map" : kind_name(item.kind)));
    return;
  }
  const Entry& first = item.entries.front();
  if (item.entries.size() > 1) {
    const bool dedented = first.value->kind == Node::Kind::null;
    reader_.error(*item.entries[1].key,
                  dedented ? fmt::format("'{}' stands beside '{}', not inside it",
                                         item.entries[1].key->text, first.key->text)
                           : "one item of the list is one condition",
                  dedented ? fmt::format("indent it further than '{}'", first.key->text)
                           : "begin another item with '-'");
    return;
  }
  if (first.value->kind == Node::Kind::null) {
    read_item(*first.key, action, out);
  } else if (reader_.require(*first.value, Node::Kind::map, "a map of parameters")) {
    read_one(*first.key, *first.value, action, out);
  }
}

void ConditionReader::read_one(const Node& name, const Node& parameters, Action action,
                               std::vector<ConditionSpec>& out) {
  const auto* kind = find(name.text);
  if (kind == nullptr) {
    std::vector<std::string_view> known;
    for (const auto* one : catalog_) known.emplace_back(one->name);
    reader_.unknown(name, fmt::format("unknown condition '{}'", name.text), name.text, known);
    return;
  }
  check_keys(parameters, *kind);
  ConditionSpec spec;
  spec.name = kind->name;
  spec.action = action;
  spec.kind = kind_of(*kind);
  spec.interval = interval_;
  read_common(parameters, *kind, spec);
  name_it(name, parameters, spec);
  if (!read_options(name, parameters, *kind, spec)) return;
  if (spec.name == kConsulKv && !read_kv(reader_, name, parameters, clusters_, spec)) return;
  out.push_back(std::move(spec));
}

void ConditionReader::check_keys(const Node& parameters, const supv_condition_descriptor& kind) {
  std::vector<std::string_view> known = key_names(condition_level());
  for (const supv_option& option : options_of(kind)) known.emplace_back(option.name);
  for (const Entry& entry : parameters.entries) {
    if (reader_.report().full()) return;
    const std::string& key = entry.key->text;
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      reader_.unknown(*entry.key, fmt::format("unknown parameter '{}' of {}", key, kind.name), key,
                      known);
    } else if (entry.value->is_empty()) {
      reader_.error(*entry.key, fmt::format("'{}' has no value", key));
    }
  }
}

void ConditionReader::read_common(const Node& parameters, const supv_condition_descriptor& kind,
                                  ConditionSpec& spec) {
  const auto written = [&parameters](std::string_view key) -> const Node* {
    const Node* node = parameters.find(key);
    return node == nullptr || node->kind == Node::Kind::null ? nullptr : node;
  };
  if (const Node* node = written("interval")) {
    reader_.duration(*node, spec.interval, kLeastInterval);
  }
  if (const Node* node = written("times")) {
    reader_.times(*node, spec.times);
    if (spec.kind != ConditionKind::poll) {
      reader_.error(
          *node, fmt::format("'times' means nothing to {}: it is not asked in turns", spec.name));
    }
  }
  if (const Node* node = written("timeout"); node != nullptr && !declares(kind, "timeout")) {
    reader_.duration(*node, spec.timeout, Duration{1});
  }
  if (const Node* node = written("splay")) reader_.duration(*node, spec.splay);
}

void ConditionReader::name_it(const Node& name, const Node& parameters, ConditionSpec& spec) {
  const int number = ++counted_[spec.name];
  spec.id = fmt::format("{}#{}", spec.name, number);
  const Node* written = parameters.find("id");
  const Node* place = &name;
  if (written != nullptr && written->kind != Node::Kind::null) {
    place = written;
    std::string id;
    reader_.text(*written, id);
    if (id.empty()) return;
    if (!valid_name(id)) {
      reader_.error(*written, fmt::format("'{}' cannot be an id", id),
                    "1 to 64 of A-Z a-z 0-9 _ . -, not starting with . or -");
      return;
    }
    spec.id = id;
  }
  if (!ids_.insert(spec.id).second) {
    reader_.error(*place, fmt::format("this watch has two conditions with the id '{}'", spec.id));
  }
}

void ConditionReader::read_keepalive(const Node& map, std::vector<ConditionSpec>& out) {
  const Fields fields(reader_, map, keepalive_level());
  Duration interval = kKeepaliveInterval;
  if (const Node* node = fields.find("interval")) reader_.duration(*node, interval, kLeastInterval);
  read_limit(map, "memory_max", "memory_times", "memory_usage", "keepalive.memory", interval, out);
  read_limit(map, "cpu_max", "cpu_times", "cpu_usage", "keepalive.cpu", interval, out);
}

void ConditionReader::read_limit(const Node& map, std::string_view limit, std::string_view times,
                                 std::string_view condition, const char* id, Duration interval,
                                 std::vector<ConditionSpec>& out) {
  const Fields fields(reader_, map, keepalive_level());
  const Node* most = fields.find(limit);
  const Node* often = fields.find(times);
  if (most == nullptr) {
    if (often != nullptr) reader_.error(*often, fmt::format("'{}' needs '{}'", times, limit));
    return;
  }
  const auto* kind = find(condition);
  if (kind == nullptr) {
    reader_.error(*most,
                  fmt::format("'{}' needs the condition {}, which is not there", limit, condition));
    return;
  }
  Node above = *most;
  above.kind = Node::Kind::scalar;
  above.text = "above";
  Node parameters = map;
  parameters.entries = {{&arena_.make(std::move(above)), most}};
  ConditionSpec spec;
  spec.name = condition;
  spec.id = id;
  spec.interval = interval;
  spec.times = {3, 5};
  if (often != nullptr) reader_.times(*often, spec.times);
  ids_.insert(spec.id);
  if (read_options(*most, parameters, *kind, spec)) out.push_back(std::move(spec));
}

void ConditionReader::end_watch(const Node& watch, const std::vector<ConditionSpec>& conditions) {
  const auto changes =
      std::count_if(conditions.begin(), conditions.end(),
                    [](const ConditionSpec& one) { return one.kind == ConditionKind::change; });
  if (static_cast<std::size_t>(changes) > kMaxChangeConditions) {
    reader_.error(watch,
                  fmt::format("a watch can have {} consul_kv conditions; this one has {}",
                              kMaxChangeConditions, changes),
                  "watch a prefix");
  }
}

}  // namespace supv
