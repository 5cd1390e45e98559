#include "core/memo.h"

#include <doctest/doctest.h>

#include "core/random.h"
#include "keeper/wire.h"

using namespace supv;

namespace {

Memo full_memo() {
  Memo memo;
  memo.watch = std::string(64, 'w');
  memo.purpose = Purpose::main;
  memo.after = After::respawn;
  memo.ready = true;
  memo.failures = 7;
  memo.process = {0x0123456789abcdef, 0xfedcba9876543210};
  for (std::uint32_t i = 0; i < kMaxChangeConditions; ++i) {
    Memo::Baseline baseline;
    baseline.condition = 1000 + i;
    baseline.assumed = i % 2 == 0;
    baseline.sample.kind = i % 3 == 0 ? Sample::Kind::absent : Sample::Kind::present;
    baseline.sample.index = i * 10;
    if (i % 3 != 0) baseline.sample.digest = keyed_hash({1, 2}, std::to_string(i));
    memo.baselines.push_back(baseline);
  }
  return memo;
}

}  // namespace

TEST_CASE("what is recorded with a run comes back") {
  const Memo memo = full_memo();
  const std::string bytes = encode(memo);
  CHECK(bytes.size() <= wire::kMaxMemo);
  const auto back = decode_memo(bytes);
  REQUIRE(back);
  CHECK(back->watch == memo.watch);
  CHECK(back->purpose == memo.purpose);
  CHECK(back->after == memo.after);
  CHECK(back->ready == memo.ready);
  CHECK(back->failures == memo.failures);
  CHECK(back->process == memo.process);
  REQUIRE(back->baselines.size() == memo.baselines.size());
  for (std::size_t i = 0; i < memo.baselines.size(); ++i) {
    CHECK(back->baselines[i].condition == memo.baselines[i].condition);
    CHECK(back->baselines[i].assumed == memo.baselines[i].assumed);
    CHECK(back->baselines[i].sample.same_as(memo.baselines[i].sample));
    CHECK(back->baselines[i].sample.index == memo.baselines[i].sample.index);
  }
  CHECK(encode(*back) == bytes);
}

TEST_CASE("anything else is refused, and read without harm") {
  const std::string good = encode(full_memo());
  CHECK_FALSE(decode_memo(""));
  CHECK_FALSE(decode_memo(good + "x"));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(decode_memo(good.substr(0, size)));
  Random random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (int flips = 0; flips < 1 + i % 4; ++flips)
      bytes[random.next() % bytes.size()] = static_cast<char>(random.next());
    if (const auto memo = decode_memo(bytes)) CHECK(memo->baselines.size() <= kMaxChangeConditions);
  }
}

TEST_CASE("a fingerprint stands for everything that shapes the process") {
  ProcessSpec one;
  one.start.argv = {"prog", "a b"};
  const Digest digest = fingerprint(one);
  CHECK(fingerprint(one) == digest);
  const auto differs = [&](auto&& change) {
    ProcessSpec other = one;
    change(other);
    CHECK_FALSE(other == one);
    CHECK(fingerprint(other) != digest);
  };
  differs([](ProcessSpec& p) { p.start.argv = {"prog", "a", "b"}; });
  differs([](ProcessSpec& p) { p.start.own_shell = true; });
  differs([](ProcessSpec& p) { p.dir = "/tmp"; });
  differs([](ProcessSpec& p) { p.env = {{"A", "1"}}; });
  differs([](ProcessSpec& p) { p.env_files = {"x"}; });
  differs([](ProcessSpec& p) { p.clean_env = true; });
  differs([](ProcessSpec& p) { p.uid = "0"; });
  differs([](ProcessSpec& p) { p.gid = "0"; });
  differs([](ProcessSpec& p) { p.umask = 022; });
  differs([](ProcessSpec& p) { p.chroot = "/"; });
  differs([](ProcessSpec& p) { p.log = "x"; });
  differs([](ProcessSpec& p) { p.err_log = "x"; });
  differs([](ProcessSpec& p) { p.pid_file = "x"; });
  differs([](ProcessSpec& p) { p.whole_tree = false; });
}

TEST_CASE("a condition is known again by what it watches and does") {
  ConditionSpec one;
  one.kv.emplace();
  one.kv->path = "a";
  const std::uint32_t key = condition_key(one);
  ConditionSpec same = one;
  same.id = "consul_kv#9";
  same.kv->window = 5;
  same.kv->settle = Duration(9);
  CHECK(condition_key(same) == key);
  ConditionSpec other = one;
  other.action = Action::reload;
  CHECK(condition_key(other) != key);
  other = one;
  other.kv->select = {"/x"};
  CHECK(condition_key(other) != key);
  other.kv->select.clear();
  other.kv->ignore = {"/x"};
  CHECK(condition_key(other) != key);
  other = one;
  other.kv->prefix = true;
  CHECK(condition_key(other) != key);
}
