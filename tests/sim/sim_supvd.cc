// The life of supvd: keepers that die and are started again, and what passes between them and
// their brains.
#include <fmt/format.h>
#include <signal.h>

#include "tests/sim/sim_world.h"
#include "tests/sim/stories.h"

namespace supv::sim {
namespace {

constexpr std::uint32_t kSlots = 124;

std::optional<ExitStatus> status_of(const wire::Status& status) {
  if (status.how == 0) return std::nullopt;
  if (status.how == 1) return ExitStatus{ExitStatus::How::code, status.value, false};
  if (status.how == 2)
    return ExitStatus{ExitStatus::How::signal, status.value, status.dumped_core != 0};
  return ExitStatus{};
}

LiveRun::Phase phase_of(wire::Phase phase) {
  switch (phase) {
    case wire::Phase::empty:
    case wire::Phase::intent:
    case wire::Phase::launching:
      return LiveRun::Phase::launching;
    case wire::Phase::running:
      return LiveRun::Phase::running;
    case wire::Phase::stopping:
      return LiveRun::Phase::stopping;
    case wire::Phase::lingering:
      return LiveRun::Phase::lingering;
    case wire::Phase::stuck:
      return LiveRun::Phase::stuck;
    case wire::Phase::gone:
      return LiveRun::Phase::gone;
    case wire::Phase::failed:
      return LiveRun::Phase::failed;
  }
  return LiveRun::Phase::gone;
}

Moment moment(std::int64_t monotonic_ns, std::int64_t wall_ms) {
  return {Time(std::chrono::nanoseconds(monotonic_ns)), wall_ms};
}

LiveRun live_run(const wire::Slot& slot) {
  LiveRun live;
  live.run = static_cast<RunId>(slot.run);
  live.phase = phase_of(slot.phase);
  live.pid = slot.pid;
  live.status = status_of(slot.status);
  if (live.phase == LiveRun::Phase::failed) live.step = wire::step_name(slot.step);
  live.error = slot.error;
  live.after = slot.after;
  live.adopted = slot.adopted != 0;
  live.started = moment(slot.started_monotonic_ns, slot.started_wall_ms);
  live.memo.assign(reinterpret_cast<const char*>(slot.memo), slot.memo_size);
  return live;
}

}  // namespace

// --- keepers -----------------------------------------------------------------------------------

void SimWorld::in_keeper(const std::function<void(Keeper&)>& deed) {
  if (!keeper_) return;
  try {
    deed(*keeper_);
  } catch (const KeeperKilled&) {
    return keeper_died();
  }
  if (keeper_->finished()) supvd_ended();
}

void SimWorld::start_supvd() {
  if (keeper_) return;
  if (computer_.gates_pending()) {  // take_lock() waits for them
    sim_.agenda.in(milliseconds(10), [this] { start_supvd(); });
    return;
  }
  sim_.trace("supvd: started");
  oracles_.supvd_started();
  kernel_ = std::make_unique<SimKernel>(sim_, computer_, line_, plans_, ++keepers_, kernel_ears());
  keeper_ = std::make_unique<Keeper>(*kernel_, kSlots);
  in_keeper([](Keeper& keeper) { keeper.recover(); });
}

void SimWorld::keeper_died() {
  sim_.trace("keeper: killed");
  line_.close();
  const std::uint64_t number = kernel_->number();
  keeper_.reset();
  kernel_.reset();
  kept_.reset();
  retained_.clear();
  sockets_.clear();
  mail_.clear();
  computer_.keeper_died(number);
  oracles_.supvd_lost(false);
  sim_.agenda.in(sim_.dice.time(milliseconds(5), seconds(5)), [this] { start_supvd(); });
}

void SimWorld::supvd_ended() {
  sim_.trace(fmt::format("supvd: ended with {}", *keeper_->finished()));
  keeper_died();
}

void SimWorld::reboot() {
  sim_.trace("computer: reboot");
  oracles_.rebooted();
  operator_.rebooted();
  computer_.reboot();
  brain_ = 0;
  courier_.crash();
  // What no fsync has reached the disk for may be lost.
  for (auto& [key, text] : synced_)
    if (sim_.dice.chance(0.5)) durable_[key] = text;
  std::erase_if(durable_, [&](const auto& item) {
    return !synced_.contains(item.first) && sim_.dice.chance(0.5);
  });
  volatile_.clear();
  if (keeper_) keeper_died();
}

Computer::Ears SimWorld::computer_ears() {
  Computer::Ears ears;
  ears.executed = [this](const Process& process) {
    sim_.trace(fmt::format("computer: {} executes", show(process)));
    oracles_.executed(process);
    if (!process.brain()) return;
    brain_ = process.serial;
    brain_line_ = line_.number;
  };
  ears.ended = [this](const Process& process) {
    oracles_.ended(process);
    if (process.serial == brain_) {
      brain_ = 0;
      // The keeper may still read what was sent; the rest is lost.
      const auto kept = sim_.dice.between(0, static_cast<std::int64_t>(line_.to_keeper.size()));
      line_.to_keeper.resize(static_cast<std::size_t>(kept));
      line_.to_brain.clear();
      line_.brain_gone = true;
    }
    if (kernel_) kernel_->on_ended(process);
  };
  ears.exec_settled = [this](const Process& process) {
    if (kernel_) kernel_->on_exec_settled(process);
  };
  ears.signalled = [this](const Process& process, int signal) {
    sim_.trace(fmt::format("computer: {} gets {}", show(process), signal));
    oracles_.signalled(process, signal);
  };
  ears.notified = [this](wire::Run number, bool ready) {
    const auto run = static_cast<RunId>(number);
    if (!sockets_.contains(run)) return;
    if (ready) oracles_.said_ready(run);
    mail_[run].push_back(ready);
    sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(2)), [this] { read_mail(); });
  };
  return ears;
}

void SimWorld::read_mail() {
  if (brain_ == 0 || !booted_) return;
  for (auto& [run, letters] : std::exchange(mail_, {}))
    for (const bool ready : letters) {
      if (ready) say(ev::Ready{run});
      say(ev::Alive{run, false});
    }
}

SimKernel::Ears SimWorld::kernel_ears() {
  SimKernel::Ears ears;
  const auto later = [this](std::uint32_t slot, void (Keeper::*news)(std::uint32_t)) {
    const std::uint64_t number = keepers_;
    sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(3)), [this, slot, news, number] {
      if (number == keepers_) in_keeper([&](Keeper& keeper) { (keeper.*news)(slot); });
    });
  };
  ears.child_ended = [later](std::uint32_t slot) { later(slot, &Keeper::on_child); };
  ears.exec_settled = [later](std::uint32_t slot) { later(slot, &Keeper::on_exec); };
  ears.sent = [this] {
    sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(2)), [this] { pump_to_brain(); });
  };
  return ears;
}

// --- the line ----------------------------------------------------------------------------------

void SimWorld::send(Packet packet) {
  if (brain_ == 0 || !line_.open || line_.number != brain_line_) return;
  line_.to_keeper.push_back(std::move(packet));
  sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(2)), [this] { pump_to_keeper(); });
}

void SimWorld::pump_to_keeper() {
  if (!keeper_ || line_.to_keeper.empty()) return;
  if (keeper_->wants_write()) {
    sim_.agenda.in(milliseconds(1), [this] { pump_to_keeper(); });
    return;
  }
  const Packet packet = std::move(line_.to_keeper.front());
  line_.to_keeper.pop_front();
  in_keeper([&](Keeper& keeper) {
    keeper.on_message(packet.bytes.data(), packet.bytes.size(), packet.handles.data(),
                      packet.handles.size());
  });
  if (keeper_ && !line_.to_keeper.empty())
    sim_.agenda.in(Duration(0), [this] { pump_to_keeper(); });
}

void SimWorld::pump_to_brain() {
  if (brain_ == 0 || !line_.open || line_.number != brain_line_) return;
  if (sim_.agenda.now() < frozen_until_) {
    sim_.agenda.at(frozen_until_, [this] { pump_to_brain(); });
    return;
  }
  while (!line_.to_brain.empty()) {
    const Packet packet = std::move(line_.to_brain.front());
    line_.to_brain.pop_front();
    hear(packet);
  }
  if (keeper_ && keeper_->wants_write()) in_keeper([](Keeper& keeper) { keeper.on_writable(); });
}

void SimWorld::hear(const Packet& packet) {
  wire::Slot slot;
  wire::Plain plain;
  wire::News news;
  if (packet.read(slot)) {
    if (dumped_) return;
    dump_.push_back(live_run(slot));
    if (!packet.stored) sockets_.erase(dump_.back().run);
  } else if (packet.read(plain)) {
    if (plain.kind == wire::Kind::dumped) dumped_ = true;
  } else if (packet.read(news)) {
    hear_news(news);
  }
}

void SimWorld::hear_news(const wire::News& news) {
  const auto run = static_cast<RunId>(news.run);
  const ExitStatus status = status_of(news.status).value_or(ExitStatus{});
  switch (news.kind) {
    case wire::Kind::launched:
      return say(
          ev::Launched{run, news.pid, moment(news.started_monotonic_ns, news.started_wall_ms)});
    case wire::Kind::start_failed:
      return say(ev::StartFailed{run, wire::step_name(news.step), news.error, ""});
    case wire::Kind::exited:
      return say(ev::Exited{run, status, news.left});
    case wire::Kind::gone:
      return say(ev::Gone{run, status});
    case wire::Kind::stuck:
      return say(ev::Stuck{run, news.pid, news.left});
    case wire::Kind::followed:
      return say(ev::Followed{run, news.pid});
    case wire::Kind::not_followed:
      return say(ev::NotFollowed{run, news.pid});
    case wire::Kind::signalled:
      if (news.signal == SIGTERM || news.signal == SIGINT || news.signal == SIGHUP)
        say(ev::Signalled{news.signal});
      return;
    case wire::Kind::hello:
    case wire::Kind::spawn:
    case wire::Kind::stop:
    case wire::Kind::signal:
    case wire::Kind::follow:
    case wire::Kind::amend:
    case wire::Kind::take:
    case wire::Kind::forget:
    case wire::Kind::finish:
    case wire::Kind::slot:
    case wire::Kind::dumped:
      return;
  }
}

Operator::Ears SimWorld::operator_ears() {
  Operator::Ears ears;
  ears.ask = [this](Request request) {
    if (brain_ != 0 && booted_) say(ev::Asked{std::move(request)});
  };
  ears.watches = [this] {
    std::vector<std::string> names;
    for (const WatchSpec& watch : (kept_ ? *kept_ : files_).watches) names.push_back(watch.name);
    return names;
  };
  ears.edit_files = [this] {
    if (sim_.dice.chance(0.8)) edit_config(sim_, files_);
    if (kept_) stay_in_character(files_, *kept_);
  };
  ears.look = [this](const std::string& name) -> const Watch* {
    if (core_ == nullptr) return nullptr;
    for (const std::uint32_t number : core_->roster().all())
      if (core_->roster().at(number)->spec().name == name) return core_->roster().at(number);
    return nullptr;
  };
  return ears;
}

}  // namespace supv::sim
