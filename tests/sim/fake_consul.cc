#include "tests/sim/fake_consul.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace supv::sim {
namespace {

std::string base64(const std::string& bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      text += i + j > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * j) & 63];
  }
  return text;
}

std::uint64_t number_after(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(name);
  std::uint64_t value = 0;
  if (at != std::string::npos)
    std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
  return value;
}

}  // namespace

const char* name_of(FakeConsul::Mood mood) {
  static constexpr const char* kNames[] = {"well",       "leaderless", "stale",  "forbidding",
                                           "throttling", "garbage",    "silent", "refusing"};
  return kNames[static_cast<int>(mood)];
}

// --- queries -----------------------------------------------------------------------------------

FakeConsul::Query FakeConsul::parse(const std::string& path_and_query) {
  constexpr std::string_view kPrefix = "/v1/kv/";
  Query query;
  const std::size_t mark = std::min(path_and_query.find('?'), path_and_query.size());
  query.path = path_and_query.substr(kPrefix.size(), mark - kPrefix.size());
  const std::string rest = path_and_query.substr(mark);
  query.prefix = rest.find("recurse") != std::string::npos;
  query.index = number_after(rest, "index=");
  query.blocking = query.index > 0;
  const std::uint64_t wait = number_after(rest, "wait=");
  query.wait = Duration(wait == 0 ? 300'000 : static_cast<std::int64_t>(wait));
  return query;
}

std::uint64_t FakeConsul::table_index() const {
  std::uint64_t most = 1;
  for (const auto& [key, entry] : store_) most = std::max(most, entry.modify);
  for (const auto& [key, index] : tombstones_) most = std::max(most, index);
  return most;
}

std::uint64_t FakeConsul::index_of(const Query& query) const {
  if (!query.prefix) {
    const auto found = store_.find(query.path);
    return found == store_.end() ? table_index() : found->second.modify;
  }
  std::uint64_t most = 0;
  for (const auto& [key, entry] : store_)
    if (key.starts_with(query.path)) most = std::max(most, entry.modify);
  for (const auto& [key, index] : tombstones_)
    if (key.starts_with(query.path)) most = std::max(most, index);
  return most == 0 ? table_index() : most;
}

HttpReply FakeConsul::evaluate(const Query& query) const {
  HttpReply reply;
  reply.index = index_of(query);
  for (const auto& [key, entry] : store_) {
    if (query.prefix ? !key.starts_with(query.path) : key != query.path) continue;
    reply.body += fmt::format(
        R"({}{{"LockIndex":{},"Key":"{}","Flags":{},"Value":{},"CreateIndex":{},"ModifyIndex":{}}})",
        reply.body.empty() ? "[" : ",", entry.lock_index, key, entry.flags,
        entry.value.empty() ? "null" : '"' + base64(entry.value) + '"', entry.create, entry.modify);
  }
  reply.status = reply.body.empty() ? 404 : 200;
  if (!reply.body.empty()) reply.body += "]";
  return reply;
}

HttpReply FakeConsul::misbehave(const Query& query) {
  HttpReply reply;
  switch (mood_) {
    case Mood::well:
    case Mood::silent:
      break;
    case Mood::leaderless:
      reply.status = 500;
      reply.body = "rpc error making call: No cluster leader";
      break;
    case Mood::stale:
      reply = sim_.dice.chance(0.5) ? evaluate(query) : HttpReply{404, "", 7, false, 0, ""};
      reply.known_leader = false;
      break;
    case Mood::forbidding:
      reply.status = query.prefix ? 404 : 403;
      reply.body = "Permission denied";
      if (query.prefix) reply.index = 0;
      break;
    case Mood::throttling:
      reply.status = 429;
      reply.retry_after_s = static_cast<std::uint64_t>(sim_.dice.between(0, 10));
      break;
    case Mood::garbage:
      switch (sim_.dice.between(0, 6)) {
        case 0:
          return {404, "", 0, true, 0, "nginx"};
        case 1:
          return {200, "", 0, true, 0, "[]"};
        case 2:
          return {200, "", 99, true, 0, "<html>welcome</html>"};
        case 3:
          return {200, "", 99, true, 0, R"([{"Key":"other","Value":"YQ==","ModifyIndex":9}])"};
        case 4:
          return {301, "", 0, true, 0, ""};
        case 5:
          return {200, "", 99, true, 0, R"([{"Key":1}])"};
        default:
          return {0, "closed without a byte", 0, true, 0, ""};
      }
    case Mood::refusing:
      reply.error = "connection refused";
      break;
  }
  return reply;
}

void FakeConsul::reply(std::uint64_t number, HttpReply reply, Duration delay) {
  sim_.agenda.in(delay, [this, number, reply = std::move(reply)] {
    const auto found = held_.find(number);
    if (found == held_.end()) return;
    const Answer answer = std::move(found->second.answer);
    held_.erase(found);
    answer(reply);
  });
}

std::uint64_t FakeConsul::ask(const std::string& path_and_query, bool consistent, Answer answer) {
  const std::uint64_t number = ++last_query_;
  Query query = parse(path_and_query);
  query.consistent = consistent;
  query.answer = std::move(answer);
  held_[number] = query;
  const Duration short_while = sim_.dice.time(milliseconds(1), milliseconds(20));
  if (mood_ == Mood::silent) return number;
  if (mood_ != Mood::well) {
    const bool waits = mood_ == Mood::leaderless && sim_.dice.chance(0.3);
    reply(number, misbehave(query), waits ? seconds(7) : short_while);
    return number;
  }
  if (!query.blocking || index_of(query) > query.index) {
    reply(number, evaluate(query), short_while);
    return number;
  }
  // An index from the future is waited for as well.
  const Duration wait = query.wait + sim_.dice.time(Duration(0), query.wait / 16);
  sim_.agenda.in(wait, [this, number] {
    const auto found = held_.find(number);
    if (found != held_.end() && mood_ == Mood::well)
      reply(number, evaluate(found->second), milliseconds(1));
  });
  return number;
}

void FakeConsul::wake() {
  if (mood_ != Mood::well) return;
  for (const auto& [number, query] : held_)
    if (query.blocking && index_of(query) > query.index)
      reply(number, evaluate(query), sim_.dice.time(milliseconds(1), milliseconds(5)));
}

// --- writes ------------------------------------------------------------------------------------

void FakeConsul::changed() {
  for (auto& [what, followed] : followed_) {
    std::string now = content(what.first, what.second);
    if (now == followed.content) continue;
    followed.content = std::move(now);
    ++followed.changes;
  }
  wake();
}

void FakeConsul::put(const std::string& key, const std::string& value) {
  Entry& entry = store_[key];
  if (entry.modify != 0 && entry.value == value) return;  // the same again: nothing moves
  entry.modify = ++index_;
  if (entry.create == 0) entry.create = index_;
  entry.value = value;
  sim_.trace(fmt::format("consul: {} = {} at {}", key, value, index_));
  changed();
}

void FakeConsul::remove(const std::string& key) {
  if (store_.erase(key) == 0) return;
  tombstones_[key] = ++index_;
  sim_.trace(fmt::format("consul: {} deleted at {}", key, index_));
  changed();
}

void FakeConsul::touch(const std::string& key) {
  const auto found = store_.find(key);
  if (found == store_.end()) return;
  found->second.modify = ++index_;
  ++(sim_.dice.chance(0.5) ? found->second.flags : found->second.lock_index);
  changed();
}

void FakeConsul::restore_snapshot() {
  if (!snapshot_) return;
  sim_.trace("consul: snapshot restored");
  ++restores_;
  restored_ = sim_.agenda.now();
  if (mood_ == Mood::well)
    for (const auto& [number, query] : held_)
      if (query.blocking) reply(number, evaluate(query), milliseconds(1));
  store_ = snapshot_->first;
  tombstones_ = snapshot_->second;
  index_ = table_index();
  changed();
}

void FakeConsul::set_mood(Mood mood) {
  if (mood == mood_) return;
  sim_.trace(fmt::format("consul: {}", name_of(mood)));
  mood_ = mood;
  if (mood == Mood::leaderless || mood == Mood::refusing)
    for (const auto& [number, query] : held_) reply(number, misbehave(query), milliseconds(1));
  // What was under way while it was silent is answered when it wakes; what is held goes on.
  if (mood == Mood::well)
    for (const auto& [number, query] : held_)
      if (!query.blocking || index_of(query) != query.index)
        reply(number, evaluate(query), milliseconds(2));
}

std::string FakeConsul::content(const std::string& path, bool prefix) const {
  std::string all;
  for (const auto& [key, entry] : store_)
    if (prefix ? key.starts_with(path) : key == path)
      all += fmt::format("{}={};", key, entry.value);
  return all;
}

void FakeConsul::count_changes(const std::string& path, bool prefix) {
  followed_.try_emplace({path, prefix}, Followed{content(path, prefix), 0});
}

std::uint64_t FakeConsul::changes(const std::string& path, bool prefix) {
  const auto found = followed_.find({path, prefix});
  return found == followed_.end() ? 0 : found->second.changes;
}

}  // namespace supv::sim
