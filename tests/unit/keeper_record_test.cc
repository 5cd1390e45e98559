#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "keeper/exec_child.h"
#include "keeper/keeper.h"
#include "keeper/plan.h"
#include "keeper/proc.h"
#include "keeper/record.h"
#include "keeper/tag.h"
#include "keeper_fake.h"

using namespace supv;

namespace {

const Machine kMachine{11, 22, 33};

Record good_record(std::uint32_t slot) {
  Record record;
  record.machine = kMachine;
  record.life.run = 5ULL << 16U | slot;
  record.life.pid = 4711;
  record.life.start_time = 99;
  record.phase = wire::Phase::running;
  record.ladder_count = 1;
  record.ladder[0] = {15, 1000};
  seal(record);
  return record;
}

}  // namespace

TEST_CASE("the checksum is CRC-32C") {
  CHECK(crc32c("123456789", 9) == 0xe3069283U);
  CHECK(crc32c("", 0) == 0);
}

TEST_CASE("a record is valid only as it was written, in its slot, on its machine") {
  const Record record = good_record(7);
  CHECK(is_valid(record, 7, kMachine));
  CHECK(!is_valid(record, 8, kMachine));
  CHECK(!is_valid(record, 7, Machine{11, 23, 33}));
  CHECK(!is_valid(record, 7, Machine{11, 22, 34}));
  CHECK(!is_valid(Record{}, 0, Machine{}));
  for (std::size_t bit = 0; bit < sizeof(Record) * 8; ++bit) {
    Record flipped = record;
    reinterpret_cast<unsigned char*>(&flipped)[bit / 8] ^=
        static_cast<unsigned char>(1U << (bit % 8));
    REQUIRE(!is_valid(flipped, 7, kMachine));
  }
}

TEST_CASE("a sealed record with a field out of range is not valid") {
  const auto refused = [](auto edit) {
    Record record = good_record(7);
    edit(record);
    seal(record);
    return !is_valid(record, 7, kMachine);
  };
  CHECK(refused([](Record& r) { r.life.pid = 1; }));
  CHECK(refused([](Record& r) { r.life.pid = 0; }));
  CHECK(refused([](Record& r) { r.life.pid = -4711; }));
  CHECK(refused([](Record& r) { r.life.run = 7; }));
  CHECK(refused([](Record& r) { r.phase = wire::Phase::empty; }));
  CHECK(refused([](Record& r) { r.phase = static_cast<wire::Phase>(99); }));
  CHECK(refused([](Record& r) { r.step = static_cast<wire::Step>(99); }));
  CHECK(refused([](Record& r) { r.ladder_count = 9; }));
  CHECK(refused([](Record& r) { r.ladder_step = 2; }));
  CHECK(refused([](Record& r) { r.memo_size = 641; }));
  CHECK(refused([](Record& r) { r.status.how = 4; }));
  CHECK(refused([](Record& r) { r.stage = 5; }));
  CHECK(refused([](Record& r) { r.life.flags = 64; }));
  CHECK(refused([](Record& r) { r.kill_at_ns = -1; }));
  CHECK(!refused([](Record&) {}));
}

TEST_CASE("100,000 random record files: no crash, no adoption of anything that was not recorded") {
  std::mt19937_64 random(20260102);
  std::size_t adopted = 0;
  for (int round = 0; round < 100'000; ++round) {
    FakeKernel kernel;
    kernel.saved.resize(4);
    for (std::uint32_t slot = 0; slot < 4; ++slot) {
      Record& record = kernel.saved[slot];
      auto* bytes = reinterpret_cast<unsigned char*>(&record);
      const std::uint64_t kind = random() % 4;
      if (kind == 0) {
        for (std::size_t i = 0; i < sizeof record; i += 8) {
          const std::uint64_t word = random();
          std::memcpy(bytes + i, &word, 8);
        }
      } else if (kind == 1) {
        record = good_record(slot);
        bytes[random() % sizeof record] ^= static_cast<unsigned char>(1 + random() % 255);
      } else if (kind == 2) {
        // Somebody who knows the checksum but writes anything: fields are still in range or
        // refused.
        record = good_record(slot);
        record.machine = kernel.machine();
        record.phase = static_cast<wire::Phase>(random() % 12);
        record.stage = static_cast<std::uint32_t>(random() % 6);
        record.status.how = static_cast<std::int32_t>(random() % 5);
        record.step = static_cast<wire::Step>(random() % 20);
        record.ladder_count = static_cast<std::uint32_t>(random() % 10);
        record.ladder_step = static_cast<std::uint32_t>(random() % 10);
        for (auto& step : record.ladder)
          step = {static_cast<std::int32_t>(random() % 70) - 2,
                  static_cast<std::uint32_t>(random() % 5000)};
        record.life.flags = static_cast<std::uint32_t>(random() % 40);
        record.life.pid = static_cast<std::int32_t>(random() % 6) - 2;
        record.kill_at_ns = static_cast<std::int64_t>(random());
        seal(record);
      }
    }
    Keeper keeper(kernel, 16);
    keeper.recover();
    for (int step = 0; step < 40 && keeper.next_deadline() != Keeper::kNever; ++step) {
      kernel.clock = std::max(kernel.clock, keeper.next_deadline());
      keeper.on_deadline();
    }
    adopted += kernel.adopted.size();
    // The fake machine has no process but the brain: nothing else may be signalled.
    REQUIRE(kernel.signals_to_strangers == 0);
    for (std::uint32_t slot = 1; slot < 4; ++slot)
      REQUIRE(keeper.phase(slot) != wire::Phase::running);
  }
  CHECK(adopted == 0);
}

TEST_CASE("a plan survives the way through the memfd") {
  PlanBuilder builder;
  builder.paths = {"/bin/a", "/bin/b"};
  builder.argv = {"a", "", "c d"};
  builder.env = {"X=1"};
  builder.dir = "/tmp";
  builder.groups = {7, 8, 9};
  builder.uid = 5;
  const Fd memfd = builder.build();
  std::vector<std::uint64_t> space(4096);
  auto* bytes = reinterpret_cast<unsigned char*>(space.data());
  const ssize_t size = ::pread(memfd.get(), bytes, space.size() * 8, 0);
  REQUIRE(size > 0);
  CHECK(::pwrite(memfd.get(), "x", 1, 0) < 0);  // Sealed.
  MappedPlan plan(bytes, static_cast<std::size_t>(size));
  REQUIRE(plan.ok());
  CHECK(std::string(plan.paths()[1]) == "/bin/b");
  CHECK(plan.paths()[2] == nullptr);
  CHECK(std::string(plan.argv()[1]).empty());
  CHECK(std::string(plan.argv()[2]) == "c d");
  CHECK(plan.argv()[3] == nullptr);
  CHECK(std::string(plan.envp()[0]) == "X=1");
  CHECK(std::string(plan.text(plan.head().dir)) == "/tmp");
  CHECK(plan.text(plan.head().chroot) == nullptr);
  CHECK(plan.groups()[2] == 9);
  CHECK(plan.head().uid == 5);
  CHECK(plan.head().gid == wire::kKeep);
  builder.argv = {std::string("a\0b", 3)};
  CHECK_THROWS(builder.build());
  builder.argv = {};
  CHECK_THROWS(builder.build());
  builder.argv = {std::string(5 << 20, 'x')};
  CHECK_THROWS(builder.build());
}

TEST_CASE("300,000 damaged plans are refused or stay inside their bytes") {
  PlanBuilder builder;
  builder.paths = {"/bin/a", "/bin/b"};
  builder.argv = {"a", "b", "c"};
  builder.env = {"X=1", "Y=2"};
  builder.dir = "/tmp";
  builder.out = "/tmp/out";
  builder.groups = {7, 8, 9};
  const Fd memfd = builder.build();
  std::vector<std::uint64_t> original(1024);
  const ssize_t got = ::pread(memfd.get(), original.data(), original.size() * 8, 0);
  REQUIRE(got > 0);
  const auto size = static_cast<std::size_t>(got);
  std::mt19937 random(7);
  std::size_t accepted = 0;
  for (int round = 0; round < 300'000; ++round) {
    // Exactly as many bytes as the plan has: a sanitizer sees any step outside.
    std::vector<std::uint64_t> space((size + 7) / 8);
    auto* bytes = reinterpret_cast<unsigned char*>(space.data());
    std::memcpy(bytes, original.data(), size);
    const std::size_t edits = 1 + random() % 3;
    for (std::size_t i = 0; i < edits; ++i) {
      const std::size_t at = random() % 2 == 0 ? random() % sizeof(wire::Plan) : random() % size;
      bytes[at] = static_cast<unsigned char>(random() % 3 == 0 ? random() : random() % 64 * 4);
    }
    MappedPlan plan(bytes, size);
    if (!plan.ok()) continue;
    ++accepted;
    std::size_t sum = 0;
    for (char* const* list : {plan.paths(), plan.argv(), plan.envp()})
      for (; *list != nullptr; ++list) {
        REQUIRE(reinterpret_cast<unsigned char*>(*list) >= bytes + sizeof(wire::Plan));
        REQUIRE(reinterpret_cast<unsigned char*>(*list) < bytes + size);
        sum += std::strlen(*list);
      }
    for (std::uint32_t i = 0; i < plan.head().group_count; ++i) sum += plan.groups()[i] & 1U;
    if (const char* dir = plan.text(plan.head().dir)) sum += std::strlen(dir);
    CHECK(sum < size * 16);
  }
  CHECK(accepted > 1000);  // Most edits of a text change nothing that matters.
}

TEST_CASE("PATH is searched as execvp does") {
  using Paths = std::vector<std::string>;
  CHECK(candidate_paths("ls", "/usr/bin:/bin") == Paths{"/usr/bin/ls", "/bin/ls"});
  CHECK(candidate_paths("./ls", "/usr/bin") == Paths{"./ls"});
  CHECK(candidate_paths("ls", "") == Paths{"./ls"});
  CHECK(candidate_paths("ls", "/a::") == Paths{"/a/ls", "./ls", "./ls"});
}

TEST_CASE("tags of an inner supvd lie in its run's range, those of two runs never do") {
  TagSource outer(UINT64_MAX, 0x123456789abcdefULL);
  const std::uint64_t first = outer.next();
  const std::uint64_t second = outer.next();
  CHECK(first != second);
  CHECK(first < UINT64_MAX / 2);
  CHECK(range_of(first).has(first));
  CHECK(!range_of(first).has(second));
  CHECK(!range_of(first).has(UINT64_MAX));
  TagSource inner(first, 0x77777777777ULL);
  const std::uint64_t nested = inner.next();
  const std::uint64_t other = inner.next();
  CHECK(nested != other);
  CHECK(nested < first);  // A limit can only be lowered.
  CHECK(range_of(first).has(nested));
  CHECK(!range_of(second).has(nested));
  CHECK(range_of(nested).has(nested));
  CHECK(!range_of(nested).has(other));
  CHECK(!range_of(nested).has(first));
  CHECK(TagSource(nested, 1).next() == 0);
  CHECK(TagSource(64, 1).next() == 0);
  // Both counters start anew at their ends without ever giving the outer tag away.
  TagSource last(UINT64_MAX, (1ULL << 36U) - 1);
  CHECK(last.next() == (1ULL << 26U | 0x3ffffffU));
  TagSource full(first, (1ULL << 25U) - 2);
  CHECK(full.next() != first);
}

TEST_CASE("/proc/PID/stat is read past a hostile name") {
  proc::Stat stat;
  const std::string text =
      "42 (a) R 1 1) Z 7 8 9 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0 18446744073709551615 1 1 1 "
      "1 1 1 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 10752\n";
  REQUIRE(proc::parse_stat(text.data(), text.size(), stat));
  CHECK(stat.state == 'Z');
  CHECK(stat.parent == 7);
  CHECK(stat.group == 8);
  CHECK(stat.session == 9);
  CHECK(stat.start_time == 123456);
  CHECK(stat.exit_code == 10752);
  CHECK(stat.dead());
  for (std::size_t size = 0; size < text.size(); ++size) {
    const std::string part = text.substr(0, size);
    proc::parse_stat(part.c_str(), part.size(), stat);
  }
  CHECK(!proc::parse_stat("", 0, stat));
  CHECK(!proc::parse_stat("1 (x)", 5, stat));
  CHECK(proc::exit_status(42 << 8).value == 42);
  CHECK(proc::exit_status(11 | 0x80).how == 2);
  CHECK(proc::exit_status(11 | 0x80).dumped_core == 1);
}
