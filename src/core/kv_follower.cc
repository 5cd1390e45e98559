#include "core/kv_follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr Duration kWait = 55s;      ///< Bounds what an abandoned query costs the agent.
constexpr Duration kPace = 100ms;    ///< Between two requests of one query, on the average;
constexpr int kBurst = 2;            ///< so many may come at once: read, confirm, wait.
constexpr Duration kDown = 5s;       ///< Longest pause while the agent is away.
constexpr Duration kStubborn = 30s;  ///< Longest pause for what does not mend itself,
                                     ///< or for what is no agent at all.
/// The agent gives up waiting for a leader after 7 s; a shorter patience never sees the reason.
constexpr Duration kPatience = 10s;

/// What an agent says of itself: "No cluster leader", "Permission denied", "ACL not found".
std::string first_line(const std::string& body) {
  const std::string line = body.substr(0, std::min<std::size_t>(body.find('\n'), 120));
  return printable(line);
}

}  // namespace

fx::Http KvFollower::ask(Time now, std::uint64_t tag) {
  asking_ = true;
  asked_at_ = now;
  pace_ = std::max(pace_, now) + kPace;
  tag_ = tag;
  std::string parameters = query_.prefix ? "?recurse" : "";
  const auto add = [&](const std::string& parameter) {
    parameters += (parameters.empty() ? '?' : '&') + parameter;
  };
  const bool blocking = index_ > 0 && !query_.poll && !confirming_;
  fx::Http request;
  if (blocking) {
    add(fmt::format("index={}", index_));
    add(fmt::format("wait={}ms", kWait.count()));
    request.deadline = kWait * 17 / 16 + kPatience;
  } else {
    request.deadline = kPatience;
  }
  request.tag = tag;
  request.cluster = query_.cluster;
  request.datacenter = query_.datacenter;
  request.path_and_query = kv_path(query_.path) + parameters;
  request.consistent = confirming_;
  // Only a blocking query may be taken over from an earlier brain: its answer is never old.
  if (blocking)
    request.reuse =
        fmt::format("{}|{}|{}|{}", query_.cluster, query_.datacenter, query_.path, query_.prefix);
  return request;
}

/// False: an answer whose index went back, or came early with nothing new, may be older than what
/// is known (a snapshot being restored, an answer that an earlier brain waited for). The key is
/// read again before anything is believed.
bool KvFollower::accept(Time now, std::uint64_t index, bool early) {
  trouble_.clear();
  failures_ = 0;
  if (query_.poll) {
    due_ = now + query_.interval;
    return true;
  }
  const bool back = index < index_;
  const bool restored = index == index_ && early;
  // The plain read that follows says nothing about whether waiting works.
  const bool waited = index_ != 0;
  if (waited) hasty_ = restored ? hasty_ + 1 : 0;
  index_ = back || restored ? 0 : index;
  // A proxy that ignores `index` would be asked in a tight loop: slow down when answers keep
  // coming at once with nothing new.
  const Duration pause = std::min<Duration>(kPace * (1 << std::min(hasty_, 6U)), kDown);
  due_ = hasty_ <= 1 ? std::max(pace_ - kPace * kBurst, now) : now + pause;
  return !back && !restored;
}

std::optional<KvAnswer> KvFollower::on_absent(Time now, std::uint64_t index) {
  if (!absent_ && !confirming_) {
    confirming_ = true;
    due_ = now;
    trouble_ = "missing, not confirmed yet";
    return std::nullopt;
  }
  const bool early = index_ != 0 && !confirming_ && now - asked_at_ < kWait * 9 / 10;
  confirming_ = false;
  absent_ = true;
  if (!accept(now, index, early)) return std::nullopt;
  return KvAnswer{true, index, {}};
}

std::optional<KvAnswer> KvFollower::on_reply(Time now, const HttpReply& reply, Random& random) {
  asking_ = false;
  if (reply.status == 0) {
    fail(now, reply, reply.error, Trouble::away, random);
    return std::nullopt;
  }
  const bool answered = (reply.status == 200 || reply.status == 404) && reply.index > 0;
  if (!answered || !reply.known_leader) {
    const bool denied =
        reply.status == 401 || reply.status == 403 || reply.status == 429 || reply.status == 400;
    const bool strange = reply.status / 100 == 3;
    std::string why =
        !reply.known_leader && answered ? "no leader"
        : answered || reply.status != 200
            ? fmt::format("HTTP {}{}", reply.status,
                          reply.status == 403 || reply.status == 401 ? " (denied)" : "")
            : "not an answer of Consul (no index)";
    // Of an error only: the body of a 200 may be a value.
    if (reply.status != 200 && reply.error.empty() && !reply.body.empty())
      why += ": " + first_line(reply.body);
    if (!reply.error.empty()) why += ": " + reply.error;
    fail(now, reply, std::move(why),
         denied    ? Trouble::denied
         : strange ? Trouble::strange
                   : Trouble::away,
         random);
    return std::nullopt;
  }
  if (reply.status == 404) return on_absent(now, reply.index);

  auto entries = parse_kv_body(reply.body);
  const auto asked_for = [&](const KvEntry& entry) {
    return query_.prefix ? entry.key.starts_with(query_.path) : entry.key == query_.path;
  };
  if (!entries || !std::all_of(entries->begin(), entries->end(), asked_for) ||
      (!query_.prefix && entries->size() != 1)) {
    fail(now, reply, "not an answer of Consul (unreadable body)", Trouble::strange, random);
    return std::nullopt;
  }
  if (query_.prefix && entries->empty()) return on_absent(now, reply.index);
  const bool early = index_ != 0 && !confirming_ && now - asked_at_ < kWait * 9 / 10;
  confirming_ = false;
  absent_ = false;
  if (!accept(now, reply.index, early)) return std::nullopt;
  return KvAnswer{false, reply.index, std::move(*entries)};
}

void KvFollower::fail(Time now, const HttpReply& reply, std::string why, Trouble trouble,
                      Random& random) {
  index_ = 0;
  confirming_ = false;
  hasty_ = 0;
  trouble_ = why.empty() ? "no answer" : std::move(why);
  failures_ = std::min(failures_ + 1, 16U);
  const double cap = static_cast<double>((trouble == Trouble::away ? kDown : kStubborn).count());
  const bool denied = trouble == Trouble::denied;
  const double most = denied ? cap : std::min(cap, 250.0 * std::pow(3.0, failures_));
  double pause = 250.0 + (most - 250.0) * random.unit();
  if (denied) pause = std::max(pause, cap / 2);
  if (query_.poll) pause = std::max(pause, static_cast<double>(query_.interval.count()));
  if (reply.retry_after_s > 0)
    pause = std::max(
        pause, 1000.0 * static_cast<double>(std::min<std::uint64_t>(reply.retry_after_s, 3600)));
  due_ = now + Duration(static_cast<std::int64_t>(pause));
}

}  // namespace supv
