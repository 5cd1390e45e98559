#include "brain/roles.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/run_ids.h"
#include "keeper/plan.h"

namespace supv {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{5000};
/// After a life this long a death is the first one again.
constexpr std::chrono::seconds kSettled{10};
constexpr std::uint32_t kPatienceMs = 5000;

/// One slot for each, where the core never chooses.
constexpr std::uint32_t slot_for(Roles::Name name) { return 1 + static_cast<std::uint32_t>(name); }
static_assert(Roles::kCount < RunIds::kFirstCommand);

constexpr std::array<Roles::Name, Roles::kCount> kAll = {Roles::Name::scribe, Roles::Name::courier,
                                                         Roles::Name::dev, Roles::Name::host};

struct Ends {
  Fd ours;
  Fd theirs;
};

Ends make_ends(Roles::Name name) {
  int fds[2];
  if (name == Roles::Name::dev) {
    check_sys(::pipe2(fds, O_CLOEXEC), "pipe2");
  } else {
    check_sys(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), "socketpair");
  }
  return {Fd(fds[0]), Fd(fds[1])};
}

}  // namespace

const char* Roles::text(Name name) {
  switch (name) {
    case Name::scribe:
      return "scribe";
    case Name::courier:
      return "courier";
    case Name::dev:
      return "dev";
    case Name::host:
      return "host";
  }
  return "";
}

Roles::Roles(Channel& keeper, Environment environment, std::string runtime_dir, Ears ears)
    : keeper_(keeper),
      environment_(std::move(environment)),
      runtime_dir_(std::move(runtime_dir)),
      ears_(std::move(ears)) {}

std::optional<Roles::Name> Roles::name_of(wire::Run run) {
  for (const Name name : kAll) {
    if (wire::slot_of(run) == slot_for(name)) return name;
  }
  return std::nullopt;
}

void Roles::need(Name name, Time now) {
  Role& role = at(name);
  if (role.wanted || finishing_) return;
  role.wanted = true;
  if (role.state == State::absent) start(name, now);
}

void Roles::start(Name name, Time now) {
  Role& role = at(name);
  role.run = static_cast<RunId>(++generation_ << 16 | slot_for(name));
  role.state = State::running;
  role.started = now;
  try {
    spawn(name, role.run);
  } catch (const std::system_error& error) {
    role.run = RunId::none;
    ended(name, now, error.what());
  }
}

void Roles::spawn(Name name, RunId run) {
  PlanBuilder plan;
  // The file this keeper itself was started from, so that all speak the same protocol.
  plan.paths = {"/proc/self/exe"};
  plan.argv = {fmt::format("supvd: {}", text(name)), "--role", text(name)};
  if (name == Name::dev) plan.argv.insert(plan.argv.end(), {"--runtime-dir", runtime_dir_});
  for (const auto& [key, value] : environment_)
    plan.env.push_back(fmt::format("{}={}", key, value));
  plan.dir = "/";
  plan.inherit_output = true;

  Ends ends = make_ends(name);
  wire::Spawn message{};
  message.kind = wire::Kind::spawn;
  message.flags = wire::kRole;
  message.run = static_cast<wire::Run>(run);
  message.ladder_count = 2;
  message.ladder[0] = {SIGTERM, kPatienceMs};
  message.ladder[1] = {SIGKILL, 0};
  const std::string memo = fmt::format("role:{}", text(name));
  message.memo_size = static_cast<std::uint32_t>(memo.size());
  std::memcpy(message.memo, memo.data(), memo.size());
  message.child_fds = 1;
  std::vector<Fd> fds;
  fds.push_back(plan.build());
  fds.push_back(std::move(ends.theirs));
  // The pipe of dev says one thing, once; a socket is kept for the next brain.
  if (name != Name::dev) {
    message.stored_fds = 1;
    fds.emplace_back(check_sys(::fcntl(ends.ours.get(), F_DUPFD_CLOEXEC, 0), "dup"));
  }
  keeper_.send(message, std::move(fds));
  ears_.up(name, std::move(ends.ours));
}

void Roles::stop(Name name, bool now) {
  const Role& role = at(name);
  if (role.run == RunId::none) return;
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.run = static_cast<wire::Run>(role.run);
  message.now = now ? 1 : 0;
  keeper_.send(message);
}

void Roles::broken(Name name) {
  if (at(name).state == State::running) stop(name, true);
}

bool Roles::adopt(const wire::Slot& slot, std::vector<Fd>& stored, Time now) {
  const auto name = name_of(slot.run);
  if (!name) return false;
  Role& role = at(*name);
  role.run = static_cast<RunId>(slot.run);
  role.wanted = true;
  role.started = now;
  generation_ = std::max(generation_, slot.run >> 16);
  if (slot.phase == wire::Phase::gone || slot.phase == wire::Phase::failed) {
    wire::News news{};
    news.kind = wire::Kind::gone;
    news.run = slot.run;
    hear(news, now);
    return true;
  }
  const bool usable = slot.phase == wire::Phase::running || slot.phase == wire::Phase::launching;
  if (usable && !stored.empty()) {
    role.state = State::running;
    ears_.up(*name, std::move(stored.front()));
  } else if (usable && *name == Name::dev) {
    role.state = State::running;  // Its address is remembered elsewhere.
  } else {
    // Its channel died with an earlier keeper: nobody can speak to it any more.
    role.state = State::stopping;
    stop(*name, false);
  }
  return true;
}

bool Roles::hear(const wire::News& news, Time now) {
  const auto name = name_of(news.run);
  if (!name) return false;
  Role& role = at(*name);
  if (static_cast<wire::Run>(role.run) != news.run) return true;
  // Everything else is a stage on the way to one of these two.
  if (news.kind == wire::Kind::start_failed) {
    ended(*name, now, fmt::format("{}: {}", wire::step_name(news.step), std::strerror(news.error)));
  } else if (news.kind == wire::Kind::gone) {
    ended(*name, now, "ended");
  }
  return true;
}

void Roles::ended(Name name, Time now, const std::string& how) {
  Role& role = at(name);
  if (role.run != RunId::none) {
    wire::Plain forget{};
    forget.kind = wire::Kind::forget;
    forget.run = static_cast<wire::Run>(role.run);
    keeper_.send(forget);
  }
  const bool asked = role.state == State::stopping;
  role.run = RunId::none;
  role.state = State::absent;
  ears_.down(name);
  if (finishing_ || !role.wanted) return;
  if (!asked) ears_.warn(fmt::format("the {} {}; it is started again", text(name), how));
  if (now - role.started >= kSettled) role.delay = milliseconds(0);
  role.retry_at = now + role.delay;
  role.delay = std::clamp(role.delay * 2, kFirstDelay, kLongestDelay);
  // Never from here: a start that fails at once would come back in without end.
  role.state = State::waiting;
}

std::optional<Time> Roles::deadline() const {
  std::optional<Time> first;
  for (const Role& role : roles_) {
    if (role.state == State::waiting && (!first || role.retry_at < *first)) first = role.retry_at;
  }
  return first;
}

void Roles::tick(Time now) {
  for (const Name name : kAll) {
    Role& role = at(name);
    if (role.state != State::waiting || role.retry_at > now) continue;
    role.state = State::absent;
    start(name, now);
  }
}

void Roles::finish() {
  finishing_ = true;
  for (const Name name : kAll) {
    Role& role = at(name);
    if (role.state == State::waiting) role.state = State::absent;
    // The scribe ends by itself, once what still writes to it has ended and all is on disk.
    if (name != Name::scribe) stop(name, false);
  }
}

bool Roles::finished() const {
  return std::all_of(kAll.begin(), kAll.end(), [this](Name name) {
    return name == Name::scribe || at(name).run == RunId::none;
  });
}

}  // namespace supv
