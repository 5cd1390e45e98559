#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/oracles.h"

namespace supv::sim {

/// Somebody at a terminal who presses buttons at random, remembers what was answered, asks again
/// under the same id when the connection broke, and checks every answer.
class Operator {
 public:
  struct Ears {
    std::function<void(Request)> ask;  ///< Reaches the brain, if there is one.
    std::function<std::vector<std::string>()> watches;
    std::function<void()> edit_files;
    std::function<const Watch*(const std::string&)> look;  ///< The core's own view; null: none.
  };
  Operator(Sim& sim, Oracles& oracles, Computer& computer, Ears ears)
      : sim_(sim), oracles_(oracles), computer_(computer), ears_(std::move(ears)) {}

  /// One more thing to ask.
  void act();
  /// The brain is about to decide on this request; the word counts once it has (turned()).
  void handed_over(const Request& request);
  void turned();
  void replied(const fx::Reply& reply);
  /// Connections are broken.
  void brain_lost();
  void brain_back();
  /// The computer has forgotten everybody's actions, and so have their clients.
  void rebooted();
  /// Nobody may wait for ever.
  void end() const;

 private:
  struct Action {
    Request request;
    std::string watch;
    bool answered = false;
    bool gave_up = false;
    bool refused = false;  ///< Nothing was tried.
    std::optional<int> code;
    RunId before = RunId::none;
    int tries = 0;
    Time first_asked{};
  };
  void send(Action& action);
  void check(const Action& action, const Report& report) const;
  [[noreturn]] static void violated(const std::string& what);

  Sim& sim_;
  Oracles& oracles_;
  Computer& computer_;
  Ears ears_;
  std::map<std::uint64_t, Action> actions_;           ///< By the tag they were first asked with.
  std::map<std::uint64_t, std::uint64_t> action_of_;  ///< Tag to action.
  std::vector<Request> deciding_;
  bool was_unsure_ = false;
  /// The run, if a start was under way when the last request was handed over.
  std::optional<RunId> flying_;
  std::uint64_t last_tag_ = 0;
};

}  // namespace supv::sim
