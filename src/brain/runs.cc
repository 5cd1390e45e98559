#include "brain/runs.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "brain/other_run.h"
#include "brain/pid_file.h"
#include "brain/stale_files.h"
#include "core/memo.h"

namespace supv {

namespace {

static_assert(kMaxLadder == wire::kMaxLadder);

wire::Run number(RunId run) { return static_cast<wire::Run>(run); }

std::uint32_t put_ladder(const std::vector<LadderStep>& from, wire::LadderStep* to) {
  SUPV_CHECK(from.size() <= wire::kMaxLadder);
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i].signal = from[i].signal;
    to[i].wait_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
        from[i].wait.count(), 0, std::numeric_limits<std::int32_t>::max()));
  }
  return static_cast<std::uint32_t>(from.size());
}

std::uint32_t put_memo(const std::string& from, std::uint8_t* to) {
  SUPV_CHECK(from.size() <= wire::kMaxMemo);
  std::memcpy(to, from.data(), from.size());
  return static_cast<std::uint32_t>(from.size());
}

std::uint32_t flags_of(const fx::Spawn& spawn) {
  std::uint32_t flags = 0;
  if (spawn.command.own_shell) flags |= wire::kGroupSignal;
  if (spawn.host != RunId::none) return flags | wire::kGuest;
  // A hook that runs by itself never daemonises: only the start command has a pid file.
  if (!spawn.process->pid_file.empty() && spawn.command == spawn.process->start) {
    flags |= wire::kDaemonises;
  }
  if (!spawn.process->whole_tree) flags |= wire::kLeaveTree;
  return flags;
}

std::optional<ExitStatus> status_of(const wire::Status& status) {
  switch (status.how) {
    case 0:
      return std::nullopt;
    case 1:
      return ExitStatus{ExitStatus::How::code, status.value, false};
    case 2:
      return ExitStatus{ExitStatus::How::signal, status.value, status.dumped_core != 0};
  }
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

std::size_t hash_of(const std::string& watch) { return std::hash<std::string>()(watch); }

Moment moment(std::int64_t monotonic_ns, std::int64_t wall_ms) {
  return {Time(std::chrono::nanoseconds(monotonic_ns)), wall_ms};
}

}  // namespace

Runs::Runs(Channel& keeper, Notify& notify, LogPipes& pipes, Environment own, Ears ears)
    : keeper_(keeper),
      notify_(notify),
      pipes_(pipes),
      own_(std::move(own)),
      ears_(std::move(ears)) {}

void Runs::spawn(const fx::Spawn& spawn) {
  StartPlan start = plan_start(spawn, own_, consul_address_);
  remove_stale(spawn, start.account.uid);
  const LogPipes::Pipes pipes = pipes_.open(spawn.watch, *spawn.process, start.account);
  start.plan.out = pipes.out;
  start.plan.err = pipes.err;

  wire::Spawn message{};
  message.kind = wire::Kind::spawn;
  message.flags = flags_of(spawn);
  message.run = number(spawn.run);
  message.host = number(spawn.host);
  message.ladder_count = put_ladder(spawn.ladder, message.ladder);
  message.memo_size = put_memo(spawn.memo, message.memo);
  std::vector<Fd> stored;
  if (spawn.notify || spawn.watchdog.count() > 0) give_notify_socket(spawn, start, stored);
  message.stored_fds = static_cast<std::uint32_t>(stored.size());
  std::vector<Fd> fds;
  try {
    fds.push_back(start.plan.build());
  } catch (const std::system_error&) {
    notify_.close(spawn.run);
    throw;
  }
  for (Fd& fd : stored) fds.push_back(std::move(fd));
  facts_[spawn.run] = Fact{0, true, hash_of(spawn.watch), 0};
  ++launching_;
  keeper_.send(message, std::move(fds));
}

void Runs::adopt(const fx::Adopt& adopt) {
  std::string why;
  const auto other = find_other(*adopt.process, adopt.pid_file, why);
  if (!other) return ears_.say(ev::StartFailed{adopt.run, "adopt", 0, std::move(why)});
  wire::Take message{};
  message.kind = wire::Kind::take;
  message.flags = adopt.process->whole_tree ? 0U : static_cast<std::uint32_t>(wire::kLeaveTree);
  if (!adopt.process->pid_file.empty()) message.flags |= wire::kDaemonises;
  message.run = number(adopt.run);
  message.pid = other->pid;
  message.start_time = other->start_ticks;
  message.started_monotonic_ns = other->started.time.time_since_epoch().count();
  message.started_wall_ms = other->started.wall_ms;
  message.ladder_count = put_ladder(adopt.ladder, message.ladder);
  message.memo_size = put_memo(adopt.memo, message.memo);
  facts_[adopt.run] = Fact{0, true, hash_of(adopt.watch), 0};
  ++launching_;
  keeper_.send(message);
}

void Runs::give_notify_socket(const fx::Spawn& spawn, StartPlan& start, std::vector<Fd>& stored) {
  const bool near = spawn.process->chroot.empty() && start.account.uid == ::geteuid();
  Notify::Opened opened =
      notify_.open(spawn.run, near ? Notify::Reach::path : Notify::Reach::anywhere);
  std::erase_if(start.plan.env, [](const std::string& entry) {
    return entry.rfind("NOTIFY_SOCKET=", 0) == 0 || entry.rfind("WATCHDOG_USEC=", 0) == 0 ||
           entry.rfind("WATCHDOG_PID=", 0) == 0;
  });
  start.plan.env.push_back("NOTIFY_SOCKET=" + opened.address);
  if (spawn.watchdog.count() > 0) {
    using std::chrono::microseconds;
    // Without WATCHDOG_PID: a shell or a launcher may stand between us and who will keep it alive.
    start.plan.env.push_back(fmt::format("WATCHDOG_USEC={}", microseconds(spawn.watchdog).count()));
  }
  stored.push_back(std::move(opened.stored));
}

void Runs::stop(const fx::Stop& stop) {
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.after = stop.after;
  message.run = number(stop.run);
  message.now = stop.now ? 1 : 0;
  keeper_.send(message);
}

void Runs::signal(const fx::Signal& signal) {
  wire::Signal message{};
  message.kind = wire::Kind::signal;
  message.signal = signal.signal;
  message.run = number(signal.run);
  keeper_.send(message);
}

void Runs::follow(const fx::Follow& follow) {
  const ProcessSpec nowhere;
  const int pid = read_pid_file(follow.process ? *follow.process : nowhere, follow.path);
  if (pid == 0) return ears_.say(ev::NotFollowed{follow.run, 0});
  follow_pid(follow.run, pid);
}

void Runs::follow_pid(RunId run, int pid) {
  wire::Follow message{};
  message.kind = wire::Kind::follow;
  message.pid = pid;
  message.run = number(run);
  keeper_.send(message);
}

void Runs::amend(const fx::Amend& amend) {
  wire::Amend message{};
  message.kind = wire::Kind::amend;
  message.run = number(amend.run);
  message.ladder_count = put_ladder(amend.ladder, message.ladder);
  message.memo_size = put_memo(amend.memo, message.memo);
  keeper_.send(message);
}

void Runs::forget(RunId run) {
  settle(run);
  facts_.erase(run);
  notify_.close(run);
  wire::Plain message{};
  message.kind = wire::Kind::forget;
  message.run = number(run);
  keeper_.send(message);
  ears_.forgotten(run);
}

LiveRun Runs::adopt(const wire::Slot& slot, std::vector<Fd>& stored) {
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
  const std::size_t size = std::min<std::size_t>(slot.memo_size, wire::kMaxMemo);
  live.memo.assign(reinterpret_cast<const char*>(slot.memo), size);
  const bool launching = live.phase == LiveRun::Phase::launching;
  if (launching) ++launching_;
  const bool over = live.phase == LiveRun::Phase::gone || live.phase == LiveRun::Phase::failed;
  const auto memo = decode_memo(live.memo);
  facts_[live.run] = Fact{over || live.status ? 0 : slot.pid, launching,
                          hash_of(memo ? memo->watch : std::string()), slot.started_wall_ms};
  const bool launched = live.phase != LiveRun::Phase::launching;
  if (!stored.empty())
    notify_.adopt(live.run, std::move(stored.front()), launched);
  else if (!over)
    notify_.renew(live.run, launched);
  return live;
}

void Runs::settle(RunId run) {
  const auto found = facts_.find(run);
  if (found == facts_.end() || !found->second.launching) return;
  found->second.launching = false;
  --launching_;
}

void Runs::hear(const wire::News& news) {
  const auto run = static_cast<RunId>(news.run);
  const auto found = facts_.find(run);
  const ExitStatus status = status_of(news.status).value_or(ExitStatus{});
  switch (news.kind) {
    case wire::Kind::launched:
      settle(run);
      if (found != facts_.end()) {
        found->second.pid = news.pid;
        found->second.started_wall_ms = news.started_wall_ms;
      }
      notify_.listen(run);
      return ears_.say(
          ev::Launched{run, news.pid, moment(news.started_monotonic_ns, news.started_wall_ms)});
    case wire::Kind::start_failed:
      settle(run);
      return ears_.say(
          ev::StartFailed{run, wire::step_name(news.step), news.error, std::strerror(news.error)});
    case wire::Kind::exited:
      if (found != facts_.end()) found->second.pid = 0;
      return ears_.say(ev::Exited{run, status, news.left});
    case wire::Kind::gone:
      settle(run);
      if (found != facts_.end()) found->second.pid = 0;
      return ears_.say(ev::Gone{run, status});
    case wire::Kind::stuck:
      return ears_.say(ev::Stuck{run, news.pid, news.left});
    case wire::Kind::followed:
      if (found != facts_.end()) found->second.pid = news.pid;
      return ears_.say(ev::Followed{run, news.pid});
    case wire::Kind::not_followed:
      return ears_.say(ev::NotFollowed{run, news.pid});
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
    case wire::Kind::signalled:
      return;  // Not news of a run.
  }
}

int Runs::pid_of(RunId run) const {
  const auto found = facts_.find(run);
  return found == facts_.end() ? 0 : found->second.pid;
}

bool Runs::any_of(const std::string& watch) const {
  return std::any_of(facts_.begin(), facts_.end(), [name = hash_of(watch)](const auto& fact) {
    return fact.second.watch == name;
  });
}

std::int64_t Runs::started_wall_ms(RunId run) const {
  const auto found = facts_.find(run);
  return found == facts_.end() ? 0 : found->second.started_wall_ms;
}

}  // namespace supv
