// Commands around the life of a run: hooks, `stop`, `restart`, `reload`. A watch has one at a time
// that it waits for, and any number that it does not.
#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "core/watch.h"

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr Duration kGuestTime = 60s;  ///< A command that outlived its purpose is killed after this.

}  // namespace

void Watch::spawn_errand(Step& step, Purpose purpose, const Command& command, Duration limit) {
  SUPV_CHECK(errand_run_ == RunId::none);
  errand_run_ = step.ids.make(number_);
  errand_ = purpose;
  errand_due_ = step.now.time + limit;
  fx::Spawn spawn;
  spawn.run = errand_run_;
  spawn.host = run_;
  spawn.watch = spec_->name;
  spawn.command = command;
  spawn.process = std::shared_ptr<const ProcessSpec>(spec_, &spec_->process);
  spawn.ladder = {{15, 1s}, {9, 0s}};
  spawn.memo = encode(memo(purpose));
  step.emit(std::move(spawn));
}

void Watch::spawn_loose(Step& step, const Command& command) {
  if (errand_run_ != RunId::none) return;
  spawn_errand(step, Purpose::loose, command, spec_->start_timeout);
  loose_.emplace_back(std::exchange(errand_run_, RunId::none), *errand_due_);
  errand_due_.reset();
}

/// Nobody waits for the errand any more; it may end when it likes, within limits.
void Watch::drop_errand(const Step& step) {
  errand_due_.reset();
  if (errand_run_ == RunId::none) return;
  loose_.emplace_back(std::exchange(errand_run_, RunId::none), step.now.time + kGuestTime);
}

void Watch::errand_failed_start(Step& step, const std::string& how) {
  failed_start_ = true;
  launch_failed_ = !std::exchange(launched_once_, true);
  failure_ = "before_start: " + how;
  after_ = After::fail;
  settle(step);
}

void Watch::errand_ended(Step& step, bool good, const std::string& how) {
  errand_run_ = RunId::none;
  errand_due_.reset();
  const auto warn = [&](const char* what) {
    step.emit(fx::Note{spec_->name, NoteKind::warning, shown_state(), shown_state(), "", "",
                       fmt::format("{}: {}", what, how), pid_});
  };
  switch (errand_) {
    case Purpose::before_start:
      if (state_ != State::starting) return settle(step);
      return good ? spawn_main(step) : errand_failed_start(step, how);
    case Purpose::before_stop:
      if (!good) warn("before_stop");
      return continue_stop(step);
    case Purpose::stop:
      if (good) return;  // the process may take until `due_` to end
      warn("stop command");
      return ladder(step);
    case Purpose::restart:
      if (!good) {
        warn("restart command");
        return ladder(step);
      }
      if (pid_ == 0 && spec_->process.pid_file.empty()) return;  // it ended; Gone settles
      follow(step);
      if (pid_ != 0) return;
      following_ = true;
      tick_ = step.now.time + kFollowTime / 20;
      due_ = step.now.time + kFollowTime;
      return;
    case Purpose::reload:
      return reloaded(step, good, how);
    case Purpose::after_stop:
      if (!good) warn("after_stop");
      return settle(step);
    case Purpose::main:
    case Purpose::loose:
      return;
  }
}

}  // namespace supv
