#include "courier/ledger.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace supv::courier {
namespace {

constexpr auto kKeepFor = std::chrono::seconds(60);
constexpr std::size_t kMaxKept = 1024;
constexpr std::size_t kMaxKeptBytes = std::size_t{16} * 1024 * 1024;

}  // namespace

std::string Ledger::key_of(const Request& request) {
  if (request.reuse.empty() || request.method != Method::get) return {};
  // Other credentials may see other things, so they are part of the key; the URL is not: it names
  // the index from which the earlier brain waited.
  Request key;
  key.reuse = request.reuse;
  key.headers = request.headers;
  key.connection = request.connection;
  return encode(key);
}

void Ledger::begin() {
  for (auto& [id, wait] : waits_) {
    wait.tag.reset();
    wait.deadline.reset();
  }
}

std::optional<Done> Ledger::claim_kept(const std::string& key, std::uint64_t tag) {
  if (key.empty()) return std::nullopt;
  // The newest one: an earlier one is what it replaced.
  const auto found = std::find_if(kept_.rbegin(), kept_.rend(),
                                  [&](const Kept& kept) { return kept.reply.key == key; });
  if (found == kept_.rend()) return std::nullopt;
  Done done = std::move(found->reply.done);
  done.tag = tag;
  kept_bytes_ -= done.body.size();
  kept_.erase(std::next(found).base());
  return done;
}

bool Ledger::attach(const std::string& key, std::uint64_t tag, Clock::time_point deadline) {
  if (key.empty()) return false;
  for (auto& [id, wait] : waits_) {
    if (wait.tag || wait.key != key) continue;
    wait.tag = tag;
    wait.deadline = deadline;
    return true;
  }
  return false;
}

void Ledger::add(Transfers::Id id, std::string key, std::uint64_t tag) {
  waits_.emplace(id, Wait{std::move(key), tag, std::nullopt});
}

std::optional<Ledger::Reply> Ledger::end(Transfers::Id id, Done done, Clock::time_point now) {
  const auto found = waits_.find(id);
  SUPV_CHECK(found != waits_.end());
  Wait wait = std::move(found->second);
  waits_.erase(found);
  Reply reply{std::move(wait.key), std::move(done)};
  if (wait.tag) {
    reply.done.tag = *wait.tag;
    return reply;
  }
  keep(std::move(reply), now);
  return std::nullopt;
}

void Ledger::keep(Reply reply, Clock::time_point now) {
  // A failure is no use later: the next brain asks afresh.
  if (reply.key.empty() || reply.done.status == 0) return;
  kept_bytes_ += reply.done.body.size();
  kept_.push_back({std::move(reply), now + kKeepFor});
  while (kept_.size() > kMaxKept || kept_bytes_ > kMaxKeptBytes) {
    kept_bytes_ -= kept_.front().reply.done.body.size();
    kept_.pop_front();
  }
}

std::vector<std::uint64_t> Ledger::expire(Clock::time_point now) {
  while (!kept_.empty() && kept_.front().until <= now) {
    kept_bytes_ -= kept_.front().reply.done.body.size();
    kept_.pop_front();
  }
  std::vector<std::uint64_t> tags;
  for (auto& [id, wait] : waits_) {
    if (!wait.deadline || *wait.deadline > now) continue;
    tags.push_back(*wait.tag);
    wait.tag.reset();
    wait.deadline.reset();
  }
  return tags;
}

std::optional<Clock::time_point> Ledger::wake() const {
  std::optional<Clock::time_point> wake;
  if (!kept_.empty()) wake = kept_.front().until;
  for (const auto& [id, wait] : waits_)
    if (wait.deadline && (!wake || *wait.deadline < *wake)) wake = wait.deadline;
  return wake;
}

}  // namespace supv::courier
