#include "config/condition_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config/contact_reader.h"

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

ConditionPlace place_of(ConditionList list) {
  ConditionPlace place;
  place.list = list;
  switch (list) {
    case ConditionList::start_if:
      place.action = Action::start;
      place.phases = phase::kRest;
      break;
    case ConditionList::keepalive:
    case ConditionList::restart_if:
      place.action = Action::restart;
      break;
    case ConditionList::stop_if:
      place.action = Action::stop;
      break;
    case ConditionList::reload_if:
      place.action = Action::reload;
      break;
    case ConditionList::unmonitor_if:
      place.action = Action::unmonitor;
      break;
    case ConditionList::notify_if:
      place.action = Action::notify;
      break;
    case ConditionList::transitions:
      place.action = Action::none;
      break;
    case ConditionList::lifecycle:
      place.action = Action::notify;
      place.phases = phase::kAlways;
      break;
  }
  return place;
}

void ConditionReader::begin_watch(Duration interval, RareSpec& rare) {
  interval_ = interval;
  rare_ = &rare;
  task_ = rare.task.has_value();
  counted_.clear();
  ids_.clear();
}

const supv_condition_descriptor* ConditionReader::find(std::string_view name) const {
  for (const auto* kind : catalog_) {
    if (kind->name == name) return kind;
  }
  return nullptr;
}

/// Null after an error.
const supv_condition_descriptor* ConditionReader::find_plugin(const Node& name) {
  const PluginFinder::Found& found = plugins_.find(name.text);
  if (found.descriptor != nullptr) return found.descriptor;
  if (!found.path.empty()) {
    reader_.error(name, fmt::format("the plugin {} cannot be used: {}", found.path, found.error));
    return nullptr;
  }
  std::vector<std::string_view> known;
  for (const auto* one : catalog_) known.emplace_back(one->name);
  const std::vector<std::string> plugins = plugins_.names();
  known.insert(known.end(), plugins.begin(), plugins.end());
  reader_.unknown(name, fmt::format("unknown condition '{}'", name.text), name.text, known);
  return nullptr;
}

/// The plugin's own process tries it out.
bool ConditionReader::try_plugin(const Node& name, const PluginFinder::Found& plugin,
                                 const ConditionSpec& spec) {
  const std::string why = plugins_.refusal(plugin, spec.options);
  if (why.empty()) return true;
  reader_.error(name, fmt::format("{}: {}", spec.name, why));
  return false;
}

void ConditionReader::read_list(const Node& list, const Place& place,
                                std::vector<ConditionSpec>& out) {
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
    read_item(*item, place, out);
  }
}

void ConditionReader::read_item(const Node& item, const Place& place,
                                std::vector<ConditionSpec>& out) {
  if (item.is_scalar()) {
    Node none;
    none.kind = Node::Kind::map;
    none.source = item.source;
    none.offset = item.offset;
    none.length = item.length;
    return read_named(item, arena_.make(std::move(none)), place, out);
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
    read_item(*first.key, place, out);
  } else {
    read_named(*first.key, *first.value, place, out);
  }
}

/// Most have a map of parameters; some names are syntax, and have something else.
void ConditionReader::read_named(const Node& name, const Node& value, const Place& place,
                                 std::vector<ConditionSpec>& out) {
  if (name.text == "all" || name.text == "any" || name.text == "not") {
    return read_whole(name, value, place, out);
  }
  if (!reader_.require(value, Node::Kind::map, "a map of parameters")) return;
  if (name.text == "flapping") return read_flapping(name, value, place);
  if (name.text == "degrading") return read_degrading(name, value, place, out);
  read_one(name, value, place, out);
}

ConditionSpec ConditionReader::begin(const supv_condition_descriptor& kind,
                                     const Place& place) const {
  ConditionSpec spec;
  spec.name = kind.name;
  spec.list = place.list;
  spec.action = place.action;
  spec.otherwise = place.otherwise;
  spec.phases = place.phases;
  spec.parent = static_cast<std::int16_t>(place.parent);
  spec.kind = kind_of(kind);
  spec.interval = interval_;
  spec.news = (kind.flags & SUPV_NEWS) != 0;
  if (spec.kind == ConditionKind::exit) {
    // Ends are told to what was armed with the run, whatever it leads to.
    spec.phases = phase::kStarting | phase::kRestarting | phase::kUp;
  } else if (spec.kind == ConditionKind::change && spec.phases == phase::kAlways) {
    spec.phases = phase::kUp;  // its samples are taken in every state anyway
  }
  return spec;
}

void ConditionReader::read_one(const Node& name, const Node& parameters, const Place& place,
                               std::vector<ConditionSpec>& out) {
  const auto* kind = find(name.text);
  const bool plugin = kind == nullptr;
  if (plugin) kind = find_plugin(name);
  if (kind == nullptr || kind->name == nullptr) return;  // Told, or to be found out first.
  if (task_ && (kind->kind == SUPV_EXIT || (kind->flags & SUPV_OF_PROCESS) != 0)) {
    reader_.error(name, fmt::format("a task has no process that '{}' could look at", name.text));
    return;
  }
  check_keys(parameters, *kind);
  ConditionSpec spec = begin(*kind, place);
  read_common(parameters, *kind, spec);
  name_it(name, parameters, spec);
  if (!read_options(name, parameters, *kind, spec)) return;
  if (spec.name == kConsulKv && !read_kv(reader_, name, parameters, clusters_, spec)) return;
  if (place.parent >= 0) read_part(name, parameters, spec);
  const bool good =
      plugin ? try_plugin(name, plugins_.find(name.text), spec) : try_out(name, *kind, spec);
  if (good) out.push_back(std::move(spec));
}

/// Parts of all, any and not say something; only the whole does something.
void ConditionReader::read_part(const Node& name, const Node& parameters,
                                const ConditionSpec& spec) {
  if (spec.kind == ConditionKind::change || spec.kind == ConditionKind::exit) {
    reader_.error(name, fmt::format("'{}' cannot be a part of all, any or not", spec.name),
                  spec.kind == ConditionKind::exit ? "it is true only at the moment of the end"
                                                   : "it acts on its own timeline; list it alone");
  }
  for (const std::string_view key : {"notify", "transition", "splay"}) {
    if (const Node* node = parameters.find(key)) {
      reader_.error(*node, fmt::format("'{}' belongs to the whole, not to one of its parts", key));
    }
  }
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
  if (const Node* node = written("times"); node != nullptr && !declares(kind, "times")) {
    reader_.times(*node, spec.times);
    if (spec.kind == ConditionKind::exit || spec.kind == ConditionKind::change) {
      reader_.error(
          *node, fmt::format("'times' means nothing to {}: it is not asked in turns", spec.name));
    }
  }
  if (const Node* node = written("timeout"); node != nullptr && !declares(kind, "timeout")) {
    reader_.duration(*node, spec.timeout, Duration{1});
  }
  if (const Node* node = written("splay")) reader_.duration(*node, spec.splay);
  if (const Node* node = written("notify")) {
    if (auto notify = read_notify(reader_, *node)) spec.notify = std::move(*notify);
  }
  if (const Node* node = written("transition")) read_destination(*node, spec);
}

/// `transition`: another destination than the list's.
void ConditionReader::read_destination(const Node& node, ConditionSpec& spec) {
  const auto action = destination(node);
  if (!action) return;
  constexpr auto kBefore = phase::kStarting | phase::kRestarting | phase::kInit | phase::kAlways;
  if (*action == Action::up && (spec.phases & kBefore) == 0) {
    reader_.error(node, "'up' follows 'start', 'restart' or 'init' only");
  }
  // What runs is not started beside itself.
  const bool live = (spec.phases & (phase::kRest | phase::kInit)) == 0;
  spec.action = *action == Action::start && live ? Action::restart : *action;
}

namespace {

/// The host as a condition sees it before there is a run: it knows the options.
struct Trying {
  const ConditionSpec& spec;
  static const char* option(void* context, const char* name) {
    for (const auto& [key, value] : static_cast<Trying*>(context)->spec.options) {
      if (key == name) return value.c_str();
    }
    return nullptr;
  }
  static const char* watch_name(void*) { return "check"; }
};

}  // namespace

bool ConditionReader::try_out(const Node& name, const supv_condition_descriptor& kind,
                              const ConditionSpec& spec) {
  if (kind.create == nullptr || spec.kind == ConditionKind::change) return true;
  Trying trying{spec};
  supv_host host{};
  host.size = sizeof host;
  host.context = &trying;
  host.option = Trying::option;
  host.watch_name = Trying::watch_name;
  std::array<char, 256> why{};
  void* made = kind.create(&host, why.data(), why.size());
  why.back() = '\0';
  if (made != nullptr) {
    kind.destroy(made);
    return true;
  }
  reader_.error(name, fmt::format("{}: {}", spec.name, why.data()));
  return false;
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
  ConditionSpec spec = begin(*kind, place_of(ConditionList::keepalive));
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
