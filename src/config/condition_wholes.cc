// Conditions that are syntax: all, any, not, degrading and flapping.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "config/condition_reader.h"
#include "config/contact_reader.h"

namespace supv {
namespace {

constexpr std::uint8_t kDegradingTimes = 3;

ConditionKind whole_kind(std::string_view name) {
  return name == "all"   ? ConditionKind::all
         : name == "any" ? ConditionKind::any
                         : ConditionKind::none;
}

}  // namespace

/// `all: [...]`, `not: CONDITION`, or a map with `conditions` and the parameters of every
/// condition.
void ConditionReader::read_whole(const Node& name, const Node& value, const Place& place,
                                 std::vector<ConditionSpec>& out) {
  const auto* kind = find(name.text);
  const Node* listed = value.is_map() ? value.find("conditions") : nullptr;
  if (kind == nullptr || (!value.is_list() && listed == nullptr && name.text != "not")) {
    reader_.error(name, fmt::format("'{}' is made of a list of conditions", name.text),
                  fmt::format("write it like '{}: [NAME: {{…}}, NAME: {{…}}]'", name.text));
    return;
  }
  ConditionSpec spec = begin(*kind, place);
  spec.kind = whole_kind(name.text);
  if (listed != nullptr) {
    check_keys(value, *kind);
    read_common(value, *kind, spec);
    if (place.parent >= 0) read_part(name, value, spec);
  }
  name_it(name, listed == nullptr ? name : value, spec);
  Place inner = place;
  inner.parent = static_cast<int>(out.size());
  inner.action = spec.action;
  const Duration outer = std::exchange(interval_, spec.interval);
  out.push_back(std::move(spec));
  const std::size_t before = out.size();
  const Node* parts = listed != nullptr ? listed : &value;
  if (parts->is_list()) {
    read_list(*parts, inner, out);
  } else {
    read_item(*parts, inner, out);
  }
  interval_ = outer;
  if (out.size() == before && reader_.report().errors() == 0) {
    reader_.error(name, fmt::format("'{}' has no conditions", name.text));
  }
}

/// god's trigger stands in the lifecycle; here it is a key of the watch.
void ConditionReader::read_flapping(const Node& name, const Node& value, const Place& place) {
  const Fields fields(reader_, value, flapping_condition_level());
  const bool notes = place.list == ConditionList::notify_if;
  if (place.parent >= 0 || (place.list != ConditionList::lifecycle && !notes)) {
    reader_.error(name, "'flapping' stands in 'lifecycle', or in 'notify_if'");
    return;
  }
  check_flapping_states(fields);
  FlappingSpec flapping;
  read_flapping_keys(reader_, fields, flapping);
  if (notes) {
    FlappingNoticeSpec notice;
    notice.failures = flapping.times;
    notice.within = flapping.within;
    notice.notify = std::move(flapping.notify);
    rare_->flapping_notice = std::move(notice);
  } else if (rare_->flapping) {
    reader_.error(name, "this watch says twice what flapping is");
  } else {
    rare_->flapping = std::move(flapping);
  }
}

/// What god lets one choose, and what is counted here.
void ConditionReader::check_flapping_states(const Fields& fields) {
  for (const std::string_view key : {"from_state", "to_state"}) {
    const Node* node = fields.find(key);
    std::vector<std::string> states;
    if (node == nullptr) continue;
    reader_.texts(*node, states);
    const bool counted = key == "to_state" &&
                         std::all_of(states.begin(), states.end(), [](const std::string& state) {
                           return state == "start" || state == "restart";
                         });
    if (!counted) {
      reader_.error(*node, "what counts are deaths, failed starts and restarts of something wrong",
                    "remove it, or write 'to_state: [start, restart]'");
    }
  }
  const Node* node = fields.find("transition");
  if (node == nullptr) return;
  const auto action = destination(*node);
  if (action && action != Action::unmonitor) {
    reader_.error(*node, "a flapping watch is taken out; that is 'unmonitored'");
  }
}

/// god's degrading_lambda: a command that is run more often while it fails.
void ConditionReader::read_degrading(const Node& name, const Node& parameters, const Place& place,
                                     std::vector<ConditionSpec>& out) {
  const auto* shown = find("degrading");
  const auto* kind = find("exec");
  if (kind == nullptr || shown == nullptr) {
    reader_.error(name, "'degrading' needs the condition exec, which is not there");
    return;
  }
  check_keys(parameters, *kind);
  ConditionSpec spec = begin(*shown, place);
  spec.kind = ConditionKind::poll;
  spec.times = {kDegradingTimes, kDegradingTimes};
  read_common(parameters, *kind, spec);
  name_it(name, parameters, spec);
  spec.name = kind->name;
  spec.degrading = true;
  if (place.parent >= 0) read_part(name, parameters, spec);
  if (!read_options(name, parameters, *kind, spec)) return;
  // god asks whether all is well: any failure is one.
  if (parameters.find("fires_on") == nullptr)
    for (auto& [key, value] : spec.options)
      if (key == "fires_on") value = "nonzero";
  if (try_out(name, *kind, spec)) out.push_back(std::move(spec));
}

}  // namespace supv
