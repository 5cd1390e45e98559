#include "tests/sim/fake_courier.h"

#include <fmt/format.h>

namespace supv::sim {

void FakeCourier::tell(std::uint64_t tag, HttpReply reply) {
  done_(ev::HttpDone{tag, std::move(reply)});
}

void FakeCourier::limit(std::uint64_t number, std::uint64_t tag, Duration deadline) {
  sim_.agenda.in(deadline, [this, number, tag] {
    const auto found = asked_.find(number);
    if (found == asked_.end() || found->second.tag != tag) return;
    consul_.drop(found->second.query);
    asked_.erase(found);
    tell(tag, {0, "timed out", 0, true, 0, ""});
  });
}

void FakeCourier::ask(const fx::Http& http) {
  const Time now = sim_.agenda.now();
  if (now < down_until_) {
    sim_.agenda.in(milliseconds(1), [this, tag = http.tag] {
      tell(tag, {0, "courier died", 0, true, 0, ""});
    });
    return;
  }
  if (!http.reuse.empty()) {
    for (auto& [number, asked] : asked_) {
      if (asked.tag || asked.reuse != http.reuse) continue;
      asked.tag = http.tag;
      return limit(number, http.tag, http.deadline);
    }
  }
  const std::uint64_t number = ++last_;
  asked_[number] = {http.reuse, http.tag, 0};
  asked_[number].query = consul_.ask(http.path_and_query, http.consistent,
                                     [this, number](HttpReply reply) { answer(number, reply); });
  limit(number, http.tag, http.deadline);
}

void FakeCourier::answer(std::uint64_t number, HttpReply reply) {
  const auto found = asked_.find(number);
  if (found == asked_.end()) return;
  const Asked asked = found->second;
  asked_.erase(found);
  if (asked.tag) tell(*asked.tag, std::move(reply));
}

void FakeCourier::orphan() {
  for (auto& [number, asked] : asked_) asked.tag.reset();
}

void FakeCourier::crash() {
  sim_.trace("courier: killed");
  const auto lost = std::exchange(asked_, {});
  down_until_ = sim_.agenda.now() + sim_.dice.time(milliseconds(1), seconds(3));
  for (const auto& [number, asked] : lost) {
    consul_.drop(asked.query);
    if (asked.tag) tell(*asked.tag, {0, "courier died", 0, true, 0, ""});
  }
}

}  // namespace supv::sim
