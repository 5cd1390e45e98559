#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <utility>

#include "base/text.h"
#include "brain/linux_world.h"

namespace supv {

void LinuxWorld::asked(const Request& request) { say(ev::Asked{request}); }

void LinuxWorld::client_gone(ClientId client) { say(ev::ClientGone{client}); }

protocol::Supvd LinuxWorld::supvd() {
  protocol::Supvd answer;
  answer.pid = ::getppid();
  answer.version = options_.version;
  timespec since_boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  answer.uptime_s = static_cast<double>(since_boot.tv_sec) +
                    static_cast<double>(since_boot.tv_nsec) / 1e9 - keeper_life(answer.pid).began_s;
  answer.consul_address = dev_address_;
  return answer;
}

protocol::Used LinuxWorld::used(const WatchReport& watch) {
  if (watch.run == 0) return {};
  return usage_.used(now_.time, static_cast<RunId>(watch.run));
}

protocol::LogFiles LinuxWorld::log_files(const WatchReport& watch) {
  return pipes_.files_of(watch.name);
}

std::vector<std::string> LinuxWorld::history(
    std::size_t count, const std::function<bool(std::string_view watch)>& wanted) {
  return event_file_.last(count, wanted);
}

void LinuxWorld::kv(ClientId client, std::uint64_t tag, const protocol::Call& call) {
  if (call.kind == protocol::Kind::contact) return test_contact(client, tag, call.key);
  clusters_.kv(call, [this, client, tag](const protocol::KvAnswer& answer) {
    if (control_) control_->answer_kv(client, tag, answer);
  });
}

void LinuxWorld::test_contact(ClientId client, std::uint64_t tag, const std::string& name) {
  const auto answer = [this, client, tag](int code, std::string text) {
    protocol::KvAnswer reply;
    reply.code = code;
    reply.text = std::move(text);
    if (control_) control_->answer_kv(client, tag, reply);
  };
  if (!deliveries_.knows(name)) {
    return answer(code::kNoSuchWatch, fmt::format("there is no contact '{}'", printable(name)));
  }
  deliveries_.deliver({0, name, {test_notice(now_.wall_ms)}},
                      [answer, name](const ev::Delivered& done) {
                        answer(done.good ? code::kDone : code::kFailed,
                               done.good ? "delivered to " + name : done.error);
                      });
}

ConditionHosts::Surroundings LinuxWorld::condition_surroundings() {
  ConditionHosts::Surroundings surroundings;
  surroundings.catalog = options_.load.catalog;
  surroundings.usage = &usage_;
  surroundings.commands = &commands_;
  surroundings.http = &http_calls_;
  surroundings.waiting = &host_line_;
  surroundings.plugins = &plugin_hosts_;
  surroundings.places = [this](const std::string& watch, const ProcessSpec& process) {
    return places(watch, process);
  };
  surroundings.pid_of = [this](RunId run) { return runs_.pid_of(run); };
  surroundings.cgroup_of = [this](RunId run) {
    const RunTree* tree = trees_.tree_of(run);
    return tree ? tree->cgroup : std::string();
  };
  surroundings.now = [this] { return now_; };
  surroundings.judged = [this](ev::Judged news) { judged(std::move(news)); };
  surroundings.slow = [this](std::string_view text) { log_.warn("{}", text); };
  return surroundings;
}

void LinuxWorld::judged(ev::Judged news) {
  if (!try_outs_.take(news)) say(std::move(news));
}

HostLine::Surroundings LinuxWorld::host_surroundings() {
  HostLine::Surroundings surroundings;
  surroundings.need = [this] { roles_.need(Roles::Name::host, now_.time); };
  surroundings.now = [this] { return now_; };
  surroundings.judged = [this](ev::Judged news) { judged(std::move(news)); };
  surroundings.places = [this](const std::string& watch, const ProcessSpec& process) {
    return places(watch, process);
  };
  return surroundings;
}

std::vector<std::pair<std::string, std::string>> LinuxWorld::places(const std::string& watch,
                                                                    const ProcessSpec& process) {
  std::string logs;
  for (const std::string& log : pipes_.logs_of(watch, process)) {
    logs += (logs.empty() ? "" : "\n") + log;
  }
  return {{"watch.log", std::move(logs)}, {"watch.dir", process.chroot.text() + process.dir}};
}

PluginHosts::Surroundings LinuxWorld::plugin_surroundings() {
  PluginHosts::Surroundings surroundings;
  surroundings.keeper = &keeper_;
  surroundings.reactor = &reactor_;
  // Nothing that may be secret.
  surroundings.environment = clean_environment(own_);
  surroundings.catalog = options_.load.catalog;
  surroundings.now = [this] { return now_; };
  surroundings.warn = [this](const std::string& text) { log_.warn("{}", text); };
  surroundings.print = [this](const std::string& text) { log_.info("{}", text); };
  return surroundings;
}

}  // namespace supv
