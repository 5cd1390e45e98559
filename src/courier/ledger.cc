#include "courier/ledger.h"

#include <utility>

#include "base/check.h"

namespace supv::courier {
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

std::optional<Done> Ledger::end(Transfers::Id id, Done done) {
  const auto found = waits_.find(id);
  SUPV_CHECK(found != waits_.end());
  const std::optional<std::uint64_t> tag = found->second.tag;
  waits_.erase(found);
  if (!tag) return std::nullopt;
  done.tag = *tag;
  return done;
}

std::vector<std::uint64_t> Ledger::expire(Clock::time_point now) {
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
  for (const auto& [id, wait] : waits_)
    if (wait.deadline && (!wake || *wait.deadline < *wake)) wake = wait.deadline;
  return wake;
}

}  // namespace supv::courier
