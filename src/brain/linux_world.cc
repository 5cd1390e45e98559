#include "brain/linux_world.h"

#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace supv {

namespace {

std::int64_t nanoseconds(clockid_t clock) {
  timespec time{};
  check_sys(::clock_gettime(clock, &time), "clock_gettime");
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

extern "C" const char __executable_start;
extern "C" const char __etext;

/// Most of the program is needed once, to read the configuration. Its pages are the file's own and
/// clean: what is needed again is mapped again.
void give_back_code() {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin =
      (reinterpret_cast<std::uintptr_t>(&__executable_start) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(&__etext) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::optional<Time> earlier(std::optional<Time> a, std::optional<Time> b) {
  if (!a) return b;
  return b && *b < *a ? b : a;
}

}  // namespace

LinuxWorld::LinuxWorld(const BrainOptions& options, Log& log)
    : options_(options),
      own_(read_environment(environ)),
      log_(log),
      keeper_(Fd(options.keeper_fd)),
      durable_(options.state_dir + "/state"),
      volatile_(options.runtime_dir + "/state"),
      event_file_(options.state_dir),
      config_files_(options.runtime_dir + "/config", keeper_life(::getppid()).instance,
                    options.load),
      init_(own_, ::getppid()),
      notify_(reactor_, options.runtime_dir + "/notify", notify_ears()),
      pipes_(options.runtime_dir + "/log", options.log_dir),
      lines_(reactor_, line_ears()),
      roles_(keeper_, inherited_environment(own_), options.runtime_dir, role_ears()),
      runs_(keeper_, notify_, pipes_, own_, run_ears()),
      trees_([this](RunId run) { return runs_.pid_of(run); }),
      usage_([this](RunId run) { return trees_.tree_of(run); }),
      commands_(keeper_, reactor_, own_),
      http_calls_([this] { return courier(); }),
      deliveries_({&http_calls_, &commands_, [this] { return now_; }, machine_name()}),
      host_line_(host_surroundings()),
      plugin_hosts_(plugin_surroundings()),
      hosts_(condition_surroundings()),
      try_outs_(
          hosts_, [this] { return now_; }, [this](const fx::Reply& reply) { act(reply); }),
      probes_(reactor_, [this](RunId run) { say(ev::Ready{run}); }),
      clusters_(own_, cluster_ears()),
      peers_(::geteuid()) {
  refresh_now();
}

void LinuxWorld::refresh_now() {
  // The kernel's clock has been seen going backwards; ours never does.
  now_.time = std::max(now_.time, clock());
  now_.wall_ms = nanoseconds(CLOCK_REALTIME) / 1'000'000;
}

Time LinuxWorld::clock() { return Time(std::chrono::nanoseconds(nanoseconds(CLOCK_MONOTONIC))); }

std::optional<Time> LinuxWorld::deadline() const {
  std::optional<Time> first = earlier(roles_.deadline(), init_.deadline());
  first = earlier(first, earlier(host_line_.deadline(), plugin_hosts_.deadline()));
  first = earlier(first, earlier(commands_.deadline(), hosts_.deadline()));
  first = earlier(first, try_outs_.deadline());
  return control_ ? earlier(first, control_->wake()) : first;
}

/// One sleep and what comes of it; news waits in the inbox. Returns false when `limit` came first.
bool LinuxWorld::turn(std::optional<Time> limit) {
  lines_.before_wait();
  plugin_hosts_.before_wait();
  if (keeper_writing_ != keeper_.wants_write()) {
    keeper_writing_ = keeper_.wants_write();
    keeper_watching_.change(keeper_writing_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }
  if (control_) control_->tick();
  limit = earlier(limit, deadline());
  std::optional<std::chrono::nanoseconds> timeout;
  if (limit) timeout = *limit - now_.time;
  if (!inbox_.empty() || clusters_.has_ready() || http_calls_.has_ready())
    timeout = std::chrono::nanoseconds(0);
  const bool any = reactor_.wait(timeout);
  refresh_now();
  roles_.tick(now_.time);
  init_.tick(now_.time);
  host_line_.tick(now_.time);
  plugin_hosts_.tick(now_.time);
  commands_.tick(now_.time);
  hosts_.tick(now_.time);
  try_outs_.tick();
  http_calls_.say_ready();
  clusters_.say_ready();
  if (keeper_gone_) throw KeeperGone();
  return any;
}

namespace {

constexpr std::uint64_t kStorm = 512;  ///< Effects that leave holes in the heap.
constexpr std::chrono::seconds kCalm{1};

}  // namespace

/// After a storm (a thousand starts, a load) most of what it took is free, but still ours. Given
/// back once, when it is over.
void LinuxWorld::give_back_memory() {
  if (deeds_ >= kStorm) {
    deeds_ = 0;
    give_back_at_ = now_.time + kCalm;
  }
  if (!give_back_at_ || now_.time < *give_back_at_) return;
  give_back_at_.reset();
  ::malloc_trim(0);
}

/// The core has more to do at this very instant: a thousand beats, some in each turn. Nothing else
/// is looked at meanwhile, and what was read of processes counts for all of them.
bool LinuxWorld::goes_on(std::optional<Time> wake) {
  constexpr int kMost = 256;  // Whatever a core makes of it, the world is heard.
  const bool more = !inbox_.empty() && wake && *wake <= now_.time && going_on_ < kMost;
  going_on_ = more ? going_on_ + 1 : 0;
  return more;
}

std::vector<Event> LinuxWorld::wait(std::optional<Time> wake) {
  if (booted_ && !begun_) {
    begun_ = true;
    // Not before: a brain that dies earlier must find supvd as new as it was.
    commit(0);
  }
  for (;;) {
    if (!said_ready_ && booted_ && inbox_.empty() && runs_.launching() == 0) {
      said_ready_ = true;
      init_.ready();
      // Nothing will be as large again as the configuration and the start of everything.
      ::malloc_trim(0);
      give_back_code();
    }
    give_back_memory();
    if (inbox_.empty()) notify_.acted();
    if (goes_on(wake)) {
      say(ev::Tick{});
      return std::exchange(inbox_, {});
    }
    turn(give_back_at_ && (!wake || *give_back_at_ < *wake) ? give_back_at_ : wake);
    if (wake && *wake <= now_.time) say(ev::Tick{});
    if (inbox_.empty()) continue;
    booted_ = true;
    return std::exchange(inbox_, {});
  }
}

void LinuxWorld::read_keeper(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !keeper_.flush()) keeper_gone_ = true;
  // A storm of news must not keep everybody else waiting.
  constexpr int kAtOnce = 256;
  FromKeeper news;
  for (int i = 0; i < kAtOnce; ++i) {
    const Channel::Got got = keeper_.receive(news);
    if (got == Channel::Got::nothing) return;
    if (got == Channel::Got::closed) {
      keeper_gone_ = true;
      return;
    }
    hear(news);
  }
}

void LinuxWorld::hear(FromKeeper& from) {
  const wire::News* news = std::get_if<wire::News>(&from.message);
  if (news == nullptr) return;  // A slot told twice: the first time counts.
  if (news->kind == wire::Kind::signalled) return hear_signal(news->signal);
  if (roles_.hear(*news, now_.time) || commands_.hear(*news, now_.time)) return;
  if (plugin_hosts_.hear(*news)) return;
  runs_.hear(*news);
}

void LinuxWorld::hear_signal(int signal) {
  switch (signal) {
    case SIGUSR1:
      log_.reopen();
      if (lines_.scribe() != nullptr) lines_.scribe()->reopen();
      return;
    case SIGTERM:
    case SIGINT:
      init_.stopping();
      say(ev::Signalled{signal});
      return;
    case SIGHUP:
      say(ev::Signalled{signal});
      return;
  }
  // The others are the keeper's own affair.
}

/// Nobody decides any more.
void LinuxWorld::ignore_news() {
  inbox_.clear();
  notify_.acted();
}

void LinuxWorld::close_down() {
  using std::chrono::seconds;
  const fx::Finish finish = finish_.value_or(fx::Finish{});
  init_.stopping();
  roles_.finish();
  commands_.finish();
  plugin_hosts_.finish();
  // Clients get what is queued for them, but nobody is waited for who does not read.
  const Time limit = now_.time + seconds(2);
  const auto busy = [this] {
    return !roles_.finished() || !commands_.finished() || !plugin_hosts_.finished() ||
           (control_ && !control_->flushed()) || keeper_.wants_write();
  };
  while (busy() && now_.time < limit) {
    ignore_news();
    turn(limit);
  }
  give_up(finish.code);
}

void LinuxWorld::give_up(int code) {
  wire::Finish message{};
  message.kind = wire::Kind::finish;
  message.code = code;
  keeper_.send(message);
  // Nothing is left to do; the keeper ends us with itself, or closes the line.
  const Time limit = now_.time + std::chrono::seconds(5);
  while (now_.time < limit) {
    ignore_news();
    turn(limit);
  }
}

// --- what the adapters may call ---

Notify::Ears LinuxWorld::notify_ears() {
  return {[this](RunId run, pid_t pid) { return trees_.is_member(run, pid); },
          [this](Event event) { say(std::move(event)); },
          [this](RunId run, pid_t pid) { runs_.follow_pid(run, pid); }};
}

Roles::Ears LinuxWorld::role_ears() {
  return {[this](Roles::Name name, Fd channel) { lines_.up(name, std::move(channel)); },
          [this](Roles::Name name) { lines_.down(name); },
          [this](const std::string& text) { log_.warn("{}", text); }};
}

Runs::Ears LinuxWorld::run_ears() {
  return {[this](Event event) { say(std::move(event)); }, [this](RunId run) { forgotten(run); }};
}

CourierChannel* LinuxWorld::courier() {
  roles_.need(Roles::Name::courier, now_.time);
  return lines_.courier();
}

Clusters::Ears LinuxWorld::cluster_ears() {
  return {[this] { return courier(); }, [this](ev::HttpDone done) { say(std::move(done)); }};
}

}  // namespace supv
