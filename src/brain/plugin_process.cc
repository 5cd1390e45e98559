// The life of the process of a plugin.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "brain/plugin_host.h"
#include "keeper/plan.h"

namespace supv {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{10'000};
/// After a life this long a death is the first one again.
constexpr seconds kSettled{30};
/// Without a condition for this long it ends.
constexpr seconds kIdle{60};
/// What is printed of a plugin's output, and how long it must then be quiet.
constexpr int kMostLines = 20;
constexpr seconds kLinesTime{10};
constexpr std::size_t kLongestLine = 500;

std::string died_of(const wire::Status& status) {
  if (status.how == 1) return fmt::format("it exited with code {}", status.value);
  if (status.how == 2) return fmt::format("it was killed by {}", ::sigabbrev_np(status.value));
  return "it ended";
}

struct Ends {
  Fd ours;
  Fd theirs;
};

Ends make_channel() {
  int fds[2];
  check_sys(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), "socketpair");
  return {Fd(fds[0]), Fd(fds[1])};
}

/// Neither end ever waits: what a plugin writes faster than it is read is lost.
Ends make_output() {
  int fds[2];
  check_sys(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe2");
  return {Fd(fds[0]), Fd(fds[1])};
}

Fd duplicate(const Fd& fd) { return Fd(check_sys(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0), "dup")); }

}  // namespace

void PluginHost::start() {
  run_ = static_cast<RunId>(++generation_ << 16 | slot_);
  state_ = State::running;
  started_ = now();
  useful_ = false;
  calls_.clear();
  try {
    spawn();
    for (auto& [id, known] : known_) {
      known.made = false;
      if (penalty(known) == nullptr) make(id, known);
    }
  } catch (const std::system_error& error) {
    run_ = RunId::none;
    lost();
    ended(error.what());
  }
}

void PluginHost::spawn() {
  PlanBuilder plan;
  plan.paths = {"/proc/self/exe"};
  plan.argv = {fmt::format("supvd: host {}", start_.name),
               "--role",
               "plugin",
               start_.name,
               start_.path,
               start_.limits.user,
               std::to_string(start_.limits.memory)};
  for (const auto& [key, value] : surroundings_.environment)
    plan.env.push_back(fmt::format("{}={}", key, value));
  plan.dir = "/";
  plan.standard_fds = true;

  Ends line = make_channel();
  Ends output = make_output();
  wire::Spawn message{};
  message.kind = wire::Kind::spawn;
  message.flags = wire::kRole;
  message.run = static_cast<wire::Run>(run_);
  message.ladder_count = 1;
  message.ladder[0] = {SIGKILL, 0};
  message.memo_size = static_cast<std::uint32_t>(kPluginMemo.size());
  std::memcpy(message.memo, kPluginMemo.data(), kPluginMemo.size());
  message.child_fds = 4;
  std::vector<Fd> fds;
  fds.push_back(plan.build());
  fds.emplace_back(check_sys(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
  fds.push_back(duplicate(output.theirs));
  fds.push_back(std::move(output.theirs));
  fds.push_back(std::move(line.theirs));
  surroundings_.keeper->send(message, std::move(fds));
  channel_ = std::make_unique<HostChannel>(std::move(line.ours));
  writing_ = false;
  channel_watching_ =
      Watching(*surroundings_.reactor, channel_->fd(), EPOLLIN, [this](std::uint32_t) { read(); });
  output_ = std::move(output.ours);
  quiet_until_.reset();
  output_watching_ = Watching(*surroundings_.reactor, output_.get(), EPOLLIN,
                              [this](std::uint32_t) { read_output(); });
}

/// Ends it at once, with all it has started. What happened to it is told when it is gone.
void PluginHost::kill(std::string why, Fault fault) {
  failure_ = std::move(why);
  fault_ = fault;
  if (run_ == RunId::none) return;
  state_ = State::stopping;
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.run = static_cast<wire::Run>(run_);
  message.now = 1;
  surroundings_.keeper->send(message);
  conclude_all(failure_);
}

/// Whoever was being called when it happened.
std::string PluginHost::blame_first(std::string why) {
  if (calls_.empty()) return why;
  const Id guilty = calls_.front().id;
  const auto known = known_.find(guilty);
  if (known != known_.end()) why += fmt::format(" in a call for {}", known->second.instance.label);
  blame(guilty, why);
  return why;
}

void PluginHost::hear(const wire::News& news) {
  if (static_cast<wire::Run>(run_) != news.run) return;
  if (news.kind == wire::Kind::start_failed) {
    ended(fmt::format("{}: {}", wire::step_name(news.step), std::strerror(news.error)));
  } else if (news.kind == wire::Kind::exited && state_ == State::running) {
    // What it said last is still to be read; it may tell more than its status.
    if (channel_) read();
    read_output();
    if (state_ != State::running) return;
    state_ = State::stopping;
    fault_ = Fault::yes;
    failure_ = blame_first(died_of(news.status));
    conclude_all(failure_);
  } else if (news.kind == wire::Kind::gone) {
    ended(failure_.empty() ? died_of(news.status) : failure_);
  }
}

/// Its lines are of no use any more.
void PluginHost::lost() {
  if (output_) read_output();
  output_watching_.reset();
  output_.reset();
  line_.clear();
  channel_watching_.reset();
  channel_.reset();
  calls_.clear();
  silent_until_.reset();
}

void PluginHost::ended(const std::string& how) {
  if (run_ != RunId::none) {
    wire::Plain forget{};
    forget.kind = wire::Kind::forget;
    forget.run = static_cast<wire::Run>(run_);
    surroundings_.keeper->send(forget);
  }
  run_ = RunId::none;
  failure_ = how;
  lost();
  conclude_all(how);
  for (auto& [id, known] : known_) known.made = false;
  state_ = State::absent;
  if (finishing_ || known_.empty()) return;
  const bool fault = std::exchange(fault_, Fault::yes) == Fault::yes;
  if (!fault || now() - started_ >= kSettled) delay_ = milliseconds(0);
  // The condition that did it has its own penalty; what is of use to others is soon back.
  if (useful_) delay_ = std::min(delay_, kFirstDelay);
  retry_at_ = now() + delay_;
  state_ = State::waiting;  // Never from here: a start that fails at once would come back in.
  if (!fault) return;
  surroundings_.warn(fmt::format(
      "plugin {}: {}; started again {}", start_.name, how,
      delay_.count() == 0 ? std::string("at once") : "in " + format_duration(Duration(delay_))));
  delay_ = std::clamp(delay_ * 2, kFirstDelay, kLongestDelay);
}

void PluginHost::replace(PluginStart start) {
  const bool same = start_.same(start);
  start_ = std::move(start);
  if (same) return;
  penalties_.clear();
  delay_ = milliseconds(0);
  if (state_ == State::running) kill("it has been replaced", Fault::no);
  if (state_ == State::waiting) retry_at_ = now();
}

std::optional<Time> PluginHost::deadline() const {
  std::optional<Time> first = quiet_until_;
  const auto sooner = [&first](Time time) {
    if (!first || time < *first) first = time;
  };
  if (state_ == State::waiting) sooner(retry_at_);
  if (state_ == State::running && silent_until_) sooner(*silent_until_);
  if (const auto limit = call_limit()) sooner(*limit);
  if (state_ == State::running && idle_since_) sooner(*idle_since_ + kIdle);
  return first;
}

void PluginHost::tick(Time now) {
  if (state_ == State::waiting && retry_at_ <= now) {
    if (known_.empty()) {
      state_ = State::absent;
    } else {
      start();
    }
  }
  if (state_ == State::running && silent_until_ && *silent_until_ <= now) {
    silent_until_.reset();
    kill(blame_first("it closed its channel"));
  }
  if (const auto limit = call_limit(); limit && *limit <= now) hung(calls_.front().id);
  if (state_ == State::running && idle_since_ && *idle_since_ + kIdle <= now) {
    idle_since_.reset();
    kill("no condition needs it", Fault::no);
  }
  if (quiet_until_ && *quiet_until_ <= now) {
    quiet_until_.reset();
    output_watching_.change(EPOLLIN);
    read_output();
  }
}

void PluginHost::before_wait() {
  if (!channel_ || channel_->closed()) return;
  if (writing_ == channel_->wants_write()) return;
  writing_ = channel_->wants_write();
  channel_watching_.change(writing_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void PluginHost::finish() {
  finishing_ = true;
  if (run_ == RunId::none) state_ = State::absent;
  if (run_ != RunId::none) kill("supvd ends", Fault::no);
}

// --- what it writes ---

void PluginHost::read_output() {
  std::array<char, 4096> bytes;
  if (!output_ || quiet_until_) return;
  const ssize_t size = ::read(output_.get(), bytes.data(), bytes.size());
  if (size < 0) return;
  if (size == 0) return output_watching_.reset();
  line_.append(bytes.data(), static_cast<std::size_t>(size));
  print_lines();
}

void PluginHost::print_lines() {
  if (now() - lines_since_ >= kLinesTime) {
    lines_ = 0;
    lines_since_ = now();
  }
  while (!line_.empty()) {
    const std::size_t end = line_.find('\n');
    if (end == std::string::npos && line_.size() < kLongestLine) return;
    if (++lines_ > kMostLines) {
      surroundings_.print("... and more, which is dropped");
      line_.clear();
      quiet_until_ = lines_since_ + kLinesTime;
      output_watching_.change(0);
      return;
    }
    surroundings_.print(printable(line_.substr(0, std::min(end, kLongestLine))));
    line_.erase(0, std::min(end == std::string::npos ? kLongestLine : end + 1, line_.size()));
  }
}

}  // namespace supv
