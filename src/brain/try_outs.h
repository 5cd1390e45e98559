#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "brain/condition_hosts.h"
#include "core/messages.h"

namespace supv {

/// Set in the numbers under which conditions are asked apart. No generation of the core's comes
/// near, and no slot is theirs.
inline constexpr std::uint64_t kAskedApart = std::uint64_t{1} << 62;

/// `supvctl probe`: asks conditions apart from those that are judged. What compares with an earlier
/// look, and so is unknown at the first, is asked again a second later.
class TryOuts {
 public:
  /// `hosts` outlives them.
  TryOuts(ConditionHosts& hosts, std::function<Moment()> now,
          std::function<void(const fx::Reply&)> reply)
      : hosts_(hosts), now_(std::move(now)), reply_(std::move(reply)) {}

  void begin(const fx::TryOut& asked);
  /// False: the verdict is about a condition that is judged.
  bool take(const ev::Judged& news);
  /// When tick() has something to do.
  std::optional<Time> deadline() const;
  void tick();

 private:
  struct Question {
    std::size_t watch = 0;      ///< Index in the report ...
    std::size_t condition = 0;  ///< ... and of its condition there.
    RunId number{};
    std::uint32_t index = 0;  ///< In the spec.
    Time asked{};
    bool open = false;
  };
  struct Trial {
    fx::TryOut asked;
    std::vector<RunId> numbers;
    std::vector<Question> questions;
    bool second = false;           ///< The second look is under way, or over.
    std::optional<Time> again_at;  ///< When it begins.
  };

  void ask(Question& question);
  void combine(Trial& trial) const;
  bool go_on(Trial& trial);
  ConditionReport& report_of(Trial& trial, const Question& question) const {
    return trial.asked.reply.report.watches[question.watch].conditions[question.condition];
  }

  ConditionHosts& hosts_;
  std::function<Moment()> now_;
  std::function<void(const fx::Reply&)> reply_;
  std::uint64_t numbers_ = 0;
  std::list<Trial> trials_;
};

}  // namespace supv
