#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "base/units.h"
#include "brain/host_key.h"
#include "brain/linux_world.h"

namespace supv {

namespace {

constexpr const char* kDevKey = "world/dev";

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// What is left of a configuration when one of its watches is only asked about.
void keep_only(Config& config, const std::string& name) {
  std::erase_if(config.watches, [&name](const WatchSpec& watch) { return watch.name != name; });
  config.contacts.clear();
  for (WatchSpec& watch : config.watches) {
    watch.autostart = false;
    if (!watch.rare) continue;
    RareSpec rare = *watch.rare;
    rare.task.reset();
    watch.rare = std::make_shared<const RareSpec>(std::move(rare));
  }
}

}  // namespace

KeeperLife keeper_life(int keeper_pid) {
  const std::string line = first_line(fmt::format("/proc/{}/stat", keeper_pid));
  // Fields after the name, which may contain anything; the 22nd is the start in clock ticks.
  std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  const std::uint64_t ticks = parse_unsigned(field).value_or(0);
  KeeperLife life;
  life.instance =
      fmt::format("{} {} {}", first_line("/proc/sys/kernel/random/boot_id"), keeper_pid, ticks);
  life.began_s = static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return life;
}

void LinuxWorld::boot() {
  std::vector<LiveRun> runs = ask_keeper();
  keeper_watching_ = Watching(reactor_, keeper_.fd(), EPOLLIN,
                              [this](std::uint32_t events) { read_keeper(events); });
  ev::Boot boot;
  configure(boot);
  const HostKey host = host_key(options_.state_dir);
  boot.key = host.key;
  boot.host = host.id;
  if (options_.dev) start_dev();
  take_over(boot.config);
  resume_pipes(boot.config);
  boot.runs = std::move(runs);
  boot.memory = durable_.found();
  for (const Memory& memory : volatile_.found()) {
    if (memory.key != kDevKey) boot.memory.push_back(memory);
  }
  durable_.forget_found();
  volatile_.forget_found();
  refresh_now();
  boot.seed = static_cast<std::uint64_t>(now_.time.time_since_epoch().count()) ^
              (static_cast<std::uint64_t>(::getpid()) << 40);
  inbox_.insert(inbox_.begin(), std::move(boot));
  open_control();
}

std::vector<LiveRun> LinuxWorld::ask_keeper() {
  std::vector<LiveRun> runs;
  wire::Plain hello{};
  hello.kind = wire::Kind::hello;
  if (!keeper_.send(hello)) throw KeeperGone();
  for (;;) {
    FromKeeper from;
    const Channel::Got got = keeper_.receive(from);
    if (got == Channel::Got::closed) throw KeeperGone();
    if (got == Channel::Got::nothing) {
      pollfd ready{keeper_.fd(),
                   static_cast<short>(keeper_.wants_write() ? POLLIN | POLLOUT : POLLIN), 0};
      if (::poll(&ready, 1, -1) < 0 && errno != EINTR) check_sys(-1, "poll");
      keeper_.flush();
      continue;
    }
    if (const auto* plain = std::get_if<wire::Plain>(&from.message)) {
      if (plain->kind == wire::Kind::dumped) return runs;
    } else if (const auto* slot = std::get_if<wire::Slot>(&from.message)) {
      if (roles_.adopt(*slot, from.fds, now_.time) || commands_.adopt(*slot)) continue;
      if (plugin_hosts_.adopt(*slot)) continue;
      runs.push_back(runs_.adopt(*slot, from.fds));
    } else {
      hear(from);
    }
  }
}

void LinuxWorld::configure(ev::Boot& boot) {
  ConfigFiles::Outcome outcome = config_files_.begin(options_.load.paths);
  if (!outcome.config && config_files_.has_kept()) throw std::runtime_error(outcome.diagnostics);
  if (!outcome.config) throw NoConfiguration(outcome.diagnostics);
  for (const std::string& warning : outcome.warnings) log_.warn("{}", warning);
  boot.fresh = !config_files_.has_kept();
  boot.config = std::move(*outcome.config);
  if (!options_.probe.empty()) keep_only(boot.config, options_.probe);
  boot.retained = std::move(outcome.retained);
}

void LinuxWorld::start_dev() {
  for (const Memory& memory : volatile_.found()) {
    if (memory.key == kDevKey && roles_.needed(Roles::Name::dev)) dev_address_ = memory.text;
  }
  if (dev_address_.empty()) roles_.broken(Roles::Name::dev);
  roles_.need(Roles::Name::dev, now_.time);
  // Everything that follows reads its address.
  refresh_now();
  const Time limit = now_.time + std::chrono::seconds(10);
  while (dev_address_.empty() && now_.time < limit) turn(limit);
  if (dev_address_.empty()) log_.error("the trial KV does not start; Consul is unreachable");
}

void LinuxWorld::take_over(const Config& config) {
  for (const std::string& warning : clusters_.apply(config.clusters, dev_address_)) {
    log_.warn("{}", warning);
  }
  runs_.set_consul_address(dev_address_);
  commands_.set_consul_address(dev_address_);
  deliveries_.set(config.contacts);
  plugin_hosts_.set(config.plugins);
  peers_.allow(config.daemon);
  if (::chmod(options_.socket.c_str(), socket_mode(config.daemon)) < 0) {
    log_.warn("cannot set the mode of {}", options_.socket);
  }
  const DaemonSpec& daemon = config.daemon;
  const auto level =
      parse_log_level(options_.log_level.empty() ? daemon.log_level : options_.log_level);
  log_.set_level(level.value_or(LogLevel::info));
  const auto format =
      parse_log_format(options_.log_format.empty() ? daemon.log_format : options_.log_format);
  log_.set_format(format.value_or(LogFormat::text));
  if (!options_.foreground && !daemon.log.empty() && !log_.open(daemon.log)) {
    log_.error("cannot open the log {}", daemon.log);
  }
}

/// Goes on with the FIFOs of earlier brains: what they hold, and will hold, is written to the logs.
/// Those of nobody go when the configuration is committed.
void LinuxWorld::resume_pipes(const Config& config) {
  std::map<std::string, const ProcessSpec*> specs;
  for (const WatchSpec& watch : config.watches) specs[watch.name] = &watch.process;
  const ProcessSpec unknown;
  for (const std::string& watch : pipes_.found()) {
    const auto spec = specs.find(watch);
    pipes_.resume(watch, spec == specs.end() ? unknown : *spec->second);
  }
  if (!pipes_.empty()) roles_.need(Roles::Name::scribe, now_.time);
}

void LinuxWorld::open_control() {
  ControlWorld& self = *this;
  control_ = std::make_unique<Control>(Fd(options_.listener_fd), reactor_, self, peers_);
}

RoleLines::Ears LinuxWorld::line_ears() {
  RoleLines::Ears ears;
  ears.scribe = [this](ScribeChannel* scribe) { pipes_.attach(scribe); };
  ears.lost = [this](const scribe::Lost& lost) {
    pipes_.tell_again(lost.id);
    const std::string watch = pipes_.watch_of(lost.id);
    log_.error("{}: the log cannot be written ({}); {} bytes were dropped", watch,
               std::generic_category().message(lost.error), lost.bytes);
  };
  ears.done = [this](courier::Done done) {
    if (!http_calls_.hear(done)) clusters_.hear(std::move(done));
  };
  ears.courier_gone = [this] {
    clusters_.lost();
    http_calls_.lost();
  };
  ears.host = [this](HostChannel* host) { host_line_.attach(host); };
  ears.host_said = [this] { host_line_.hear(); };
  ears.broken = [this](Roles::Name name) { roles_.broken(name); };
  ears.dev_port = [this](std::uint16_t port) {
    dev_address_ = fmt::format("http://127.0.0.1:{}", port);
    volatile_.put(kDevKey, dev_address_, false);
    log_.info("the trial KV listens on {}", dev_address_);
  };
  return ears;
}

}  // namespace supv
