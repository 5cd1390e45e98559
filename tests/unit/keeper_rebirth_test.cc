#include <doctest/doctest.h>

#include "keeper_toy.h"

using namespace supv;
using namespace toy;

TEST_CASE("USR2 replaces the program under its children: same pid, same children, true statuses") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  Fd ends[2];
  int raw[2];
  REQUIRE(::pipe2(raw, O_CLOEXEC) == 0);
  ends[0].reset(raw[0]);
  ends[1].reset(raw[1]);
  Request request = shell("read x <&3; exit 9");
  request.child_fds = {ends[0].get()};
  request.stored_fds = {ends[0].get(), ends[1].get()};
  request.memo = "kept";
  const wire::Run run = supvd.spawn(3, request);
  const auto launched = supvd.expect(wire::Kind::launched, run);
  REQUIRE(launched);
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    const int old_brain = supvd.brain;
    ::kill(supvd.keeper, SIGUSR2);
    supvd.brain = 0;
    REQUIRE(supvd.greet());
    CHECK(supvd.brain != old_brain);
    CHECK(!alive(old_brain));
    REQUIRE(supvd.slots.size() == 1);
    const wire::Slot& slot = supvd.slots[0];
    CHECK(slot.run == run);
    CHECK(slot.pid == launched->pid);
    CHECK(slot.phase == wire::Phase::running);
    CHECK(slot.adopted == 0);  // Still its parent.
    CHECK(slot.started_wall_ms == launched->started_wall_ms);
    CHECK(std::string(reinterpret_cast<const char*>(slot.memo), slot.memo_size) == "kept");
    CHECK(supvd.slot_fds[0].size() == 2);
    CHECK(!supvd.ended());
  }
  // The new image is another one indeed, and still the only supvd.
  const std::string pid = std::to_string(supvd.keeper);
  CHECK(read_file("/proc/" + pid + "/cmdline").substr(0, 11) == "toy-reborn" + std::string(1, 0));
  CHECK_THROWS_AS(take_lock(supvd.dir / "run"), KeeperError);
  // Through the stored descriptor that came back the worker can still be told to end.
  REQUIRE(supvd.slot_fds[0].size() == 2);
  REQUIRE(::write(supvd.slot_fds[0][1].get(), "\n", 1) == 1);
  const auto exited = supvd.expect(wire::Kind::exited, run);
  REQUIRE(exited);
  CHECK(exited->status.how == 1);
  CHECK(exited->status.value == 9);
  // No descriptor was lost on the way or piled up.
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd :
       std::filesystem::directory_iterator("/proc/" + pid + "/fd"))
    ++count;
  CHECK(count < 20);
}

TEST_CASE("a re-execution that fails changes nothing") {
  Supvd supvd("", 0, "/no/such/program");
  REQUIRE(supvd.greet());
  const wire::Run run = supvd.spawn(1, shell("read x <&3; exit 4"));
  const int brain = supvd.brain;
  REQUIRE(supvd.expect(wire::Kind::gone, run));
  ::kill(supvd.keeper, SIGUSR2);
  const auto told = supvd.expect(wire::Kind::signalled, 0);
  REQUIRE(told);
  CHECK(told->signal == SIGUSR2);
  const wire::Run next = supvd.spawn(2, shell("exit 6"));
  const auto exited = supvd.expect(wire::Kind::exited, next);
  REQUIRE(exited);
  CHECK(exited->status.value == 6);
  CHECK(supvd.brain == brain);
  CHECK(alive(brain));
  // The descriptors that were to be inherited are ours alone again.
  Request look;
  look.argv = {"/bin/ls", "/proc/self/fd"};
  look.out = supvd.dir / "fds";
  std::ofstream(look.out).flush();
  REQUIRE(supvd.expect(wire::Kind::gone, supvd.spawn(4, look)));
  CHECK(read_file(look.out) == "0\n1\n2\n3\n");
}
