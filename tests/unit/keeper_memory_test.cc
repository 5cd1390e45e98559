#include <doctest/doctest.h>
#include <malloc.h>
#include <sys/mman.h>

#include "keeper_toy.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SUPV_COUNTS 0  // The sanitizers have an allocator of their own.
#else
#define SUPV_COUNTS 1
#endif

using namespace supv;
using namespace toy;

#if SUPV_COUNTS
// Every allocation of this program goes through here, so a keeper's can be counted from outside:
// the counter lies in memory that the forked keeper shares with the test.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
}

#endif

namespace {
std::size_t* shared_count = nullptr;
[[maybe_unused]] void count_one() {
  if (shared_count != nullptr) __atomic_add_fetch(shared_count, 1, __ATOMIC_RELAXED);
}
}  // namespace

#if SUPV_COUNTS
extern "C" {
void* malloc(std::size_t size) {
  count_one();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  count_one();
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  count_one();
  return __libc_realloc(old, size);
}
}
#endif

namespace {

/// Kilobytes of private dirty memory.
std::size_t private_dirty_kb(int pid) {
  std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string word; rollup >> word;)
    if (word == "Private_Dirty:") {
      std::size_t kb = 0;
      rollup >> kb;
      return kb;
    }
  return 0;
}

}  // namespace

TEST_CASE("after start the keeper allocates nothing, and a run costs it next to nothing") {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  shared_count = static_cast<std::size_t*>(page);
  for (const std::string& way : {std::string(), std::string("cgroup"),
                                 std::string("cgroup.kill,pidfs,clone3,pidfd_open,close_range")}) {
    CAPTURE(way);
    shared_count = static_cast<std::size_t*>(page);
    Supvd supvd(way);
    shared_count = nullptr;  // From here on only the keeper, which was forked before, counts.
    REQUIRE(supvd.greet());
    auto* count = static_cast<std::size_t*>(page);
    const std::size_t after_start = __atomic_load_n(count, __ATOMIC_RELAXED);
    CHECK((after_start > 0) == (SUPV_COUNTS != 0));
    const wire::Run failing = supvd.spawn(1, role("sleep"));
    REQUIRE(supvd.expect(wire::Kind::launched, failing));
    supvd.tell(wire::Signal{wire::Kind::signal, SIGHUP, failing});
    REQUIRE(supvd.expect(wire::Kind::gone, failing));
    Request bad;
    bad.argv = {"/no/such/program"};
    REQUIRE(supvd.expect(wire::Kind::start_failed, supvd.spawn(2, bad)));
    const std::string file = supvd.dir / "pids";
    Request stubborn = role("escape", file);
    stubborn.ladder = {{SIGTERM, 20}};
    const wire::Run escaping = supvd.spawn(3, stubborn);
    REQUIRE(wait_until([&] {
      const std::string pids = read_file(file);
      return std::count(pids.begin(), pids.end(), '\n') == 3;
    }));
    supvd.stop(escaping);
    REQUIRE(supvd.expect(wire::Kind::gone, escaping));
    ::kill(supvd.brain, SIGKILL);
    REQUIRE(supvd.greet());
    ::kill(supvd.keeper, SIGHUP);
    REQUIRE(supvd.expect(wire::Kind::signalled, 0));

    const std::size_t before_kb = private_dirty_kb(supvd.keeper);
    constexpr std::uint32_t kMany = 300;
    Request request;
    request.argv = {"/bin/sleep", "1000"};
    request.memo = std::string(600, 'm');
    std::vector<wire::Run> runs;
    for (std::uint32_t i = 0; i < kMany; ++i) runs.push_back(supvd.spawn(10 + i, request));
    for (const wire::Run run : runs) REQUIRE(supvd.expect(wire::Kind::launched, run));
    const std::size_t after_kb = private_dirty_kb(supvd.keeper);
    MESSAGE(way << ": keeper " << before_kb << " kB, with " << kMany << " runs " << after_kb
                << " kB");
    if (SUPV_COUNTS != 0) CHECK((after_kb - before_kb) * 1024 < kMany * 400);
    for (const wire::Run run : runs) supvd.stop(run, true);
    for (const wire::Run run : runs) REQUIRE(supvd.expect(wire::Kind::gone, run));
    CHECK(__atomic_load_n(count, __ATOMIC_RELAXED) == after_start);
  }
}
