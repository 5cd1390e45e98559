#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "tests/sim/fake_consul.h"

namespace supv::sim {

/// Carries requests to the fake Consul. Outlives the brain: what is under way waits for the next
/// one; an answer that nobody waits for is dropped.
class FakeCourier {
 public:
  using Done = std::function<void(ev::HttpDone)>;
  FakeCourier(Sim& sim, FakeConsul& consul, Done done)
      : sim_(sim), consul_(consul), done_(std::move(done)) {}

  void ask(const fx::Http& http);
  /// The brain that asked is no more.
  void orphan();
  /// kill -9 of the courier: everything under way is lost; it is back soon.
  void crash();
  std::size_t under_way() const { return asked_.size(); }

 private:
  struct Asked {
    std::string reuse;
    std::optional<std::uint64_t> tag;  ///< Empty: nobody waits.
    std::uint64_t query = 0;
  };
  void answer(std::uint64_t number, HttpReply reply);
  void tell(std::uint64_t tag, HttpReply reply);
  void limit(std::uint64_t number, std::uint64_t tag, Duration deadline);

  Sim& sim_;
  FakeConsul& consul_;
  Done done_;
  std::map<std::uint64_t, Asked> asked_;
  std::uint64_t last_ = 0;
  Time down_until_{};
};

}  // namespace supv::sim
