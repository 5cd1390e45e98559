#include <fmt/core.h>

#include <algorithm>
#include <csignal>

#include "config/condition_reader.h"
#include "config/contact_reader.h"
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

void read_flapping_keys(Reader& reader, const Fields& fields, FlappingSpec& flapping) {
  constexpr std::uint32_t kMost = 1000;
  const auto duration = [&](std::string_view key, Duration& out) {
    if (const Node* node = fields.find(key)) reader.duration(*node, out, Duration{1});
  };
  if (const Node* node = fields.find("times")) reader.integer(*node, flapping.times, 1, kMost);
  duration("within", flapping.within);
  duration("retry_in", flapping.retry_in);
  if (const Node* node = fields.find("retry_times")) {
    reader.integer(*node, flapping.retry_times, 1, kMost);
  }
  duration("retry_within", flapping.retry_within);
  if (const Node* node = fields.find("notify")) {
    if (auto notify = read_notify(reader, *node)) flapping.notify = std::move(*notify);
  }
  for (const std::string_view key : {"retry_times", "retry_within"}) {
    const Node* node = fields.find(key);
    if (node != nullptr && fields.find("retry_in") == nullptr) {
      reader.error(*node, fmt::format("'{}' needs 'retry_in'", key));
    }
  }
}

void WatchReader::read_notify_key(const Fields& fields, NotifySpec& notify) {
  const Node* node = fields.find("notify");
  if (node == nullptr) return;
  if (auto read = read_notify(reader_, *node)) notify = std::move(*read);
}

void WatchReader::read_behaviors(const Node& list, RareSpec& rare) {
  if (!reader_.require(list, Node::Kind::list, "a list of behaviors")) return;
  for (const Node* item : list.items) {
    if (item->is_map() && item->entries.size() == 1 &&
        item->entries.front().key->text == "notify_when_flapping") {
      read_flapping_notice(*item->entries.front().value, rare);
      continue;
    }
    const auto index =
        reader_.choice(*item, "clean_pid_file|clean_unix_socket|notify_when_flapping");
    if (!index) continue;
    rare.clean_pid_file = rare.clean_pid_file || *index == 0;
    rare.clean_unix_socket = rare.clean_unix_socket || *index == 1;
    if (*index == 2) rare.flapping_notice.emplace();
  }
}

void WatchReader::read_flapping_notice(const Node& map, RareSpec& rare) {
  constexpr std::uint32_t kMost = 1000;
  FlappingNoticeSpec notice;
  if (!reader_.require(map, Node::Kind::map, "a map, like {failures: 5, within: 1m}")) return;
  const Fields fields(reader_, map, flapping_notice_level());
  if (const Node* node = fields.find("failures")) {
    reader_.integer(*node, notice.failures, 1, kMost);
  }
  duration(fields, "within", notice.within, Duration{1});
  if (const Node* node = fields.find("notify")) {
    if (auto notify = read_notify(reader_, *node)) notice.notify = std::move(*notify);
  }
  rare.flapping_notice = std::move(notice);
}

/// What a behavior is about must be there.
void WatchReader::check_behaviors(const Fields& fields, const WatchSpec& spec,
                                  const RareSpec& rare) {
  const Node* node = fields.find("behaviors");
  if (node == nullptr) return;
  if (rare.clean_pid_file && spec.process.pid_file.empty()) {
    reader_.error(*node, "'clean_pid_file' needs 'pid_file'");
  }
  if (rare.clean_unix_socket && rare.unix_socket.empty()) {
    reader_.error(*node, "'clean_unix_socket' needs 'unix_socket'");
  }
  const bool told =
      rare.flapping_notice && (rare.flapping_notice->notify || !rare.notify.contacts.empty());
  if (rare.flapping_notice && !told) {
    reader_.error(*node, "'notify_when_flapping' needs somebody to notify",
                  "write 'notify: CONTACT' on the watch, or "
                  "{notify_when_flapping: {notify: CONTACT}}");
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
  if (const Node* node = map("flapping")) {
    read_flapping_keys(reader_, Fields(reader_, *node, flapping_level()), rare.flapping.emplace());
  }
  if (const Node* node = fields.find("behaviors")) read_behaviors(*node, rare);
  if (const Node* node = fields.find("unix_socket")) reader_.text(*node, rare.unix_socket);
  if (const Node* node = fields.find("adopt")) reader_.text(*node, rare.adopt);
  read_notify_key(fields, rare.notify);
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
