#include <fmt/core.h>

#include <algorithm>
#include <csignal>

#include "config/watch_reader.h"

namespace supv {
namespace {

bool looks_like_signal(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-';
  });
}

}  // namespace

void WatchReader::read_backoff(const Node& map, BackoffSpec& backoff) {
  constexpr double kWhole = 100;
  const Fields fields(reader_, map, backoff_level());
  duration(fields, "initial", backoff.initial);
  duration(fields, "max", backoff.max);
  if (const Node* node = fields.find("factor")) reader_.number(*node, backoff.factor, 1);
  if (const Node* node = fields.find("jitter")) reader_.percent(*node, backoff.jitter, kWhole);
  duration(fields, "reset_after", backoff.reset_after);
  if (backoff.max < backoff.initial) {
    const Node* node = fields.find("max");
    if (node == nullptr) node = fields.find("initial");
    reader_.error(node == nullptr ? map : *node,
                  fmt::format("'max' ({}) is less than 'initial' ({})",
                              format_duration(backoff.max), format_duration(backoff.initial)));
  }
}

void WatchReader::read_flapping(const Node& map, FlappingSpec& flapping) {
  constexpr std::uint32_t kMost = 1000;
  const Fields fields(reader_, map, flapping_level());
  if (const Node* node = fields.find("times")) reader_.integer(*node, flapping.times, 1, kMost);
  duration(fields, "within", flapping.within, Duration{1});
  duration(fields, "retry_in", flapping.retry_in, Duration{1});
  if (const Node* node = fields.find("retry_times")) {
    reader_.integer(*node, flapping.retry_times, 1, kMost);
  }
  duration(fields, "retry_within", flapping.retry_within, Duration{1});
  for (const std::string_view key : {"retry_times", "retry_within"}) {
    const Node* node = fields.find(key);
    if (node != nullptr && fields.find("retry_in") == nullptr) {
      reader_.error(*node, fmt::format("'{}' needs 'retry_in'", key));
    }
  }
}

void WatchReader::read_hooks(const Node& map, HooksSpec& hooks) {
  const Fields fields(reader_, map, hooks_level());
  command(fields, "before_start", hooks.before_start);
  command(fields, "after_start", hooks.after_start);
  command(fields, "before_stop", hooks.before_stop);
  command(fields, "after_stop", hooks.after_stop);
  command(fields, "before_restart", hooks.before_restart);
  command(fields, "after_restart", hooks.after_restart);
}

void WatchReader::read_reload(const Node& node, RareSpec& rare) {
  const auto written = node.is_scalar() ? reader_.text(node) : std::nullopt;
  if (!written || !looks_like_signal(*written)) {
    if (written || node.is_list()) reader_.command(node, rare.reload);
    if (!node.is_list()) reader_.require(node, Node::Kind::scalar, "a command or a signal");
    return;
  }
  reader_.signal(node, rare.reload_signal);
  if (rare.reload_signal == SIGKILL || rare.reload_signal == SIGSTOP) {
    reader_.error(node, fmt::format("{} reloads nothing", signal_name(rare.reload_signal)));
  }
}

void WatchReader::read_rare(const Fields& fields, RareSpec& rare) {
  command(fields, "stop", rare.stop);
  command(fields, "restart", rare.restart);
  if (const Node* node = fields.find("reload")) read_reload(*node, rare);
  const auto map = [&](std::string_view key) -> const Node* {
    const Node* node = fields.find(key);
    return node != nullptr && reader_.require(*node, Node::Kind::map, "a map") ? node : nullptr;
  };
  if (const Node* node = map("hooks")) read_hooks(*node, rare.hooks);
  if (const Node* node = map("flapping")) read_flapping(*node, rare.flapping.emplace());
  const Node* labels = map("labels");
  if (labels == nullptr) return;
  reader_.text_map(*labels, rare.labels);
  for (const Entry& entry : labels->entries) {
    if (!valid_name(entry.key->text)) {
      reader_.error(*entry.key, fmt::format("'{}' cannot be the name of a label", entry.key->text),
                    "1 to 64 of A-Z a-z 0-9 _ . -, not starting with . or -");
    }
  }
}

}  // namespace supv
