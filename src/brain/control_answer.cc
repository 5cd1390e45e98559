#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "brain/control.h"

namespace supv {
namespace {

using protocol::Call;

constexpr std::uint64_t kUsualHistory = 50;
constexpr std::uint64_t kUsualBeforeFollowing = 10;

}  // namespace

bool Control::any_matches(const std::vector<std::string>& patterns, std::string_view watch) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [watch](const std::string& pattern) { return glob_match(pattern, watch); });
}

std::string Control::answer(Client& client, const Call& call, const Report& report) {
  switch (call.kind) {
    case protocol::Kind::core:
      return report_line(call, report);
    case protocol::Kind::logs:
      return logs(call, report);
    case protocol::Kind::history:
    case protocol::Kind::events: {
      // What has been removed has a history too: then the selectors are taken as written.
      std::vector<std::string> watches = call.request.select;
      for (const WatchReport& watch : report.watches) watches.push_back(watch.name);
      return history(client, call, watches);
    }
    case protocol::Kind::version:
    case protocol::Kind::kv:
    case protocol::Kind::contact:
      break;
  }
  return protocol::error_line({call.id, protocol::kRefusedCall, "no answer"}, code::kFailed);
}

std::string Control::report_line(const Call& call, Report report) {
  std::vector<protocol::Used> used;
  used.reserve(report.watches.size());
  for (WatchReport& watch : report.watches) {
    used.push_back(world_.used(watch));
    const std::string& file = watch.expect_pid_file;
    if (!file.empty() && ::access(file.c_str(), F_OK) != 0)
      watch.warnings.push_back("pid_file never written: " + file);
  }
  return protocol::reply_line(call, report, world_.supvd(), used);
}

std::string Control::logs(const Call& call, const Report& report) {
  if (report.watches.empty() && report.code != code::kDone) {
    return protocol::error_line({call.id, protocol::kRefusedCall, report.text}, report.code);
  }
  std::vector<protocol::LogFiles> files;
  files.reserve(report.watches.size());
  for (const WatchReport& watch : report.watches) files.push_back(world_.log_files(watch));
  return protocol::logs_line(call, files);
}

std::string Control::history(Client& client, const Call& call,
                             const std::vector<std::string>& watches) {
  const bool follow = call.kind == protocol::Kind::events && call.follow;
  const std::uint64_t usual = follow ? kUsualBeforeFollowing : kUsualHistory;
  const auto lines = world_.history(
      call.count == 0 ? usual : call.count,
      [&](std::string_view watch) { return watches.empty() || any_matches(watches, watch); });
  if (follow) {
    client.following = true;
    client.followed = watches;
  }
  return protocol::history_line(call, lines);
}

}  // namespace supv
