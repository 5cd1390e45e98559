#include "brain/living_condition.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/text.h"
#include "brain/try_outs.h"
#include "config/command.h"

namespace supv {
namespace {

/// How much later than the courier we give up waiting for the courier itself.
constexpr std::chrono::seconds kCourierGrace{2};

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// A condition of our own, in this process.
class Local final : public Judge {
 public:
  static std::unique_ptr<Judge> make(const supv_condition_descriptor& descriptor,
                                     const supv_host& host, std::string& failure) {
    std::array<char, 256> error{};
    void* self = descriptor.create(&host, error.data(), error.size());
    error.back() = '\0';
    if (self != nullptr) return std::make_unique<Local>(descriptor, self);
    failure = error[0] == '\0' ? "it could not be made" : error.data();
    return nullptr;
  }
  Local(const supv_condition_descriptor& descriptor, void* self)
      : descriptor_(descriptor), self_(self) {}
  ~Local() override { descriptor_.destroy(self_); }

  Answer tell(const supv_event& event) override {
    supv_verdict verdict{};
    verdict.size = sizeof verdict;
    verdict.outcome = SUPV_UNKNOWN;
    descriptor_.on_event(self_, &event, &verdict);
    return {verdict.outcome, text_of(verdict.reason), text_of(verdict.metrics)};
  }

 private:
  const supv_condition_descriptor& descriptor_;
  void* self_;
};

/// Which of its files is not there, or not for us: a mistake of ours, not of the server; or empty.
std::string unreadable_file(const courier::Connection& connection) {
  for (const std::string* path :
       {&connection.ca_file, &connection.client_cert, &connection.client_key}) {
    if (!path->empty() && ::access(path->c_str(), R_OK) != 0) return *path;
  }
  return {};
}

}  // namespace

ConditionHosts::Living::Living(ConditionHosts& hosts, const fx::Arm& arm, std::uint32_t index,
                               const RunId& subject)
    : hosts_(hosts),
      watch_spec_(arm.spec),
      spec_(arm.spec->conditions[index]),
      run_(arm.run),
      index_(index),
      subject_(subject),
      watch_(arm.watch),
      armed_wall_ns_(hosts.surroundings_.now().wall_ms * 1'000'000),
      host_{sizeof host_, this, option, watch_name, pid,    usage,
            conclude,     http, run,    read,       cgroup, pids} {
  const auto* descriptor = hosts.descriptor_of(spec_.name);
  if (descriptor != nullptr) {
    options_ = condition_options(*descriptor, spec_);
  } else {
    options_ = spec_.options;  // The loader has them in base units.
  }
  PluginHosts* plugins = hosts.surroundings_.plugins;
  if (plugins != nullptr && plugins->takes(spec_.name)) {
    // What a probe does to the plugin is not held against the condition that is judged.
    const bool apart = (static_cast<std::uint64_t>(run_) & kAskedApart) != 0;
    PluginInstance instance{apart ? name() + " (probe)" : name(), watch_, options_, &host_,
                            patience_of(spec_)};
    if (hosts.surroundings_.places)
      for (auto& place : hosts.surroundings_.places(watch_, arm.spec->process))
        instance.options.push_back(std::move(place));
    judge_ = plugins->make(spec_.name, std::move(instance), failure_);
  } else if (descriptor == nullptr) {
    failure_ = "there is no condition " + spec_.name;
  } else {
    judge_ = Local::make(*descriptor, host_, failure_);
  }
}

ConditionHosts::Living::~Living() { stop_waiting(); }

Answer ConditionHosts::Living::ask(supv_event event) {
  event.armed_wall_ns = armed_wall_ns_;
  if (!judge_) return {SUPV_UNKNOWN, failure_, {}};
  return judge_->tell(event);
}

ev::Judged ConditionHosts::Living::judged(Answer answer) const {
  return {run_, index_, verdict_of(answer.outcome), printable(answer.reason),
          std::move(answer.metrics)};
}

void ConditionHosts::Living::limit_wait(std::optional<Time> until) {
  if (until_) hosts_.awaited_.erase({*until_, this});
  until_ = until;
  if (until_) hosts_.awaited_.insert({*until_, this});
}

void ConditionHosts::Living::await() {
  waits_ = true;
  if (!asks() && !until_) limit_wait(hosts_.surroundings_.now().time + patience_of(spec_));
}

void ConditionHosts::Living::stop_waiting() {
  waits_ = false;
  limit_wait(std::nullopt);
  if (command_ != Commands::Id::none) {
    hosts_.surroundings_.commands->cancel(std::exchange(command_, Commands::Id::none));
  }
  if (call_ != HttpCalls::Id::none) {
    hosts_.surroundings_.http->cancel(std::exchange(call_, HttpCalls::Id::none));
  }
}

void ConditionHosts::Living::no_answer() {
  // What it waits for is not its own fault.
  const bool own = !asks();
  give_up("no answer within " + format_duration(patience_of(spec_)));
  if (own && judge_) judge_->overdue();
}

void ConditionHosts::Living::give_up(const std::string& why) {
  stop_waiting();
  hosts_.surroundings_.judged(judged({SUPV_UNKNOWN, why, {}}));
}

// --- what the condition asks for ---

Duration ConditionHosts::Living::limit(std::int64_t timeout_ms) const {
  const Duration patience = patience_of(spec_);
  return timeout_ms > 0 ? std::min(Duration(timeout_ms), patience) : patience;
}

int ConditionHosts::Living::start_command(const char* line, std::int64_t timeout_ms) {
  Commands* commands = hosts_.surroundings_.commands;
  if (commands == nullptr || asks()) return -1;
  CommandRequest request;
  std::string error;
  auto command = parse_command(line, error);
  // One that cannot be parsed goes the way of one that cannot be started.
  if (command) request.command = std::move(*command);
  request.process = std::shared_ptr<const ProcessSpec>(watch_spec_, &watch_spec_->process);
  request.watch = watch_;
  request.timeout = limit(timeout_ms);
  limit_wait(std::nullopt);  // It has a deadline of its own.
  command_ = commands->run(hosts_.surroundings_.now().time, std::move(request),
                           [this](const CommandResult& result) { command_done(result); });
  return 0;
}

int ConditionHosts::Living::start_http(const supv_http_request& asked) {
  HttpCalls* calls = hosts_.surroundings_.http;
  if (calls == nullptr || asks()) return -1;
  const std::string method = text_of(asked.method);
  const auto known = courier::parse_method(method.empty() ? "GET" : method);
  if (!known) return -1;
  courier::Request request;
  request.method = *known;
  request.url = text_of(asked.url);
  request.headers = lines_of(text_of(asked.headers));
  request.body = text_of(asked.body);
  request.redirects = static_cast<std::uint32_t>(std::max(asked.redirects, 0));
  request.connection.unix_socket = text_of(asked.unix_socket);
  request.connection.ca_file = text_of(asked.ca_file);
  request.connection.client_cert = text_of(asked.client_cert);
  request.connection.client_key = text_of(asked.client_key);
  request.connection.tls_server_name = text_of(asked.tls_server_name);
  request.connection.insecure = asked.insecure != 0;
  const Duration time = limit(asked.timeout_ms);
  request.deadline_ms = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(time.count(), 1, std::numeric_limits<std::int32_t>::max()));
  request.connect_ms = request.deadline_ms;
  const auto done = [this](const HttpAnswer& answer) { http_done(answer); };
  const std::string unreadable = unreadable_file(request.connection);
  call_ = unreadable.empty() ? calls->send(std::move(request), done)
                             : calls->refuse("cannot read " + unreadable, done);
  // The courier keeps to its deadline, unless something is wrong with itself.
  limit_wait(hosts_.surroundings_.now().time + time + kCourierGrace);
  return 0;
}

void ConditionHosts::Living::command_done(const CommandResult& result) {
  command_ = Commands::Id::none;
  if (result.timed_out) return no_answer();
  const std::string error = printable(result.error);
  const bool apart = result.output.empty() || result.output.back() == '\n';
  const std::string text = result.output + (apart ? "" : "\n") + result.errors;
  supv_reply reply{};
  reply.size = sizeof reply;
  reply.error = error.empty() ? nullptr : error.c_str();
  reply.status = result.status.how == ExitStatus::How::code ? result.status.value : -1;
  reply.signal = result.status.how == ExitStatus::How::signal ? result.status.value : 0;
  reply.text = text.data();
  reply.text_size = text.size();
  answered(reply);
}

void ConditionHosts::Living::http_done(const HttpAnswer& answer) {
  call_ = HttpCalls::Id::none;
  if (!answer.carried) return give_up(answer.done.error);
  supv_reply reply{};
  reply.size = sizeof reply;
  reply.error = answer.done.status == 0 ? answer.done.error.c_str() : nullptr;
  reply.status = answer.done.status;
  reply.text = answer.done.body.data();
  reply.text_size = answer.done.body.size();
  answered(reply);
}

void ConditionHosts::Living::answered(const supv_reply& reply) {
  stop_waiting();
  supv_event event{};
  event.kind = SUPV_REPLY;
  event.reply = &reply;
  hosts_.stamp(event);
  hosts_.ask(*this, event);
}

// --- what the host lends it ---

const char* ConditionHosts::Living::option(void* context, const char* name) {
  const auto& options = static_cast<Living*>(context)->options_;
  const auto found = std::find_if(options.begin(), options.end(),
                                  [name](const auto& option) { return option.first == name; });
  return found == options.end() ? nullptr : found->second.c_str();
}

const char* ConditionHosts::Living::watch_name(void* context) {
  return static_cast<Living*>(context)->watch_.c_str();
}

std::int32_t ConditionHosts::Living::pid(void* context) {
  const auto* self = static_cast<Living*>(context);
  if (self->subject_ == RunId::none) return 0;
  return self->hosts_.surroundings_.pid_of(self->subject_);
}

int ConditionHosts::Living::usage(void* context, supv_scope scope, int with_pss,
                                  supv_usage* usage) {
  const auto* self = static_cast<Living*>(context);
  if (self->subject_ == RunId::none) return -1;
  const Surroundings& surroundings = self->hosts_.surroundings_;
  const auto read =
      surroundings.usage->read(surroundings.now().time, self->subject_, scope, with_pss != 0);
  if (!read) return -1;
  // The other side may know a shorter struct.
  const std::uint32_t size = std::min<std::uint32_t>(usage->size, sizeof *read);
  std::copy_n(reinterpret_cast<const char*>(&*read), size, reinterpret_cast<char*>(usage));
  usage->size = size;
  return 0;
}

void ConditionHosts::Living::conclude(void* context, const supv_verdict* verdict) {
  auto* self = static_cast<Living*>(context);
  self->stop_waiting();
  // The other side may know a shorter struct.
  supv_verdict whole{};
  std::memcpy(&whole, verdict, std::min<std::size_t>(verdict->size, sizeof whole));
  self->hosts_.surroundings_.judged(
      self->judged({whole.outcome, text_of(whole.reason), text_of(whole.metrics)}));
}

int ConditionHosts::Living::http(void* context, const supv_http_request* request) {
  // A condition that knows a shorter struct leaves the rest empty.
  supv_http_request whole{};
  std::memcpy(&whole, request, std::min<std::size_t>(request->size, sizeof whole));
  return static_cast<Living*>(context)->start_http(whole);
}

int ConditionHosts::Living::run(void* context, const char* command, std::int64_t timeout_ms) {
  return static_cast<Living*>(context)->start_command(command, timeout_ms);
}

std::int64_t ConditionHosts::Living::read(void* context, const char* path, char* bytes,
                                          std::size_t room) {
  ConditionHosts& hosts = static_cast<Living*>(context)->hosts_;
  const InstantFiles::Read& read = hosts.files_.read(hosts.surroundings_.now().time, path);
  if (read.error != 0) return -read.error;
  const std::size_t size = std::min(room, read.text.size());
  std::memcpy(bytes, read.text.data(), size);
  return static_cast<std::int64_t>(size);
}

const char* ConditionHosts::Living::cgroup(void* context) {
  auto* self = static_cast<Living*>(context);
  const auto& cgroup_of = self->hosts_.surroundings_.cgroup_of;
  if (self->subject_ == RunId::none || !cgroup_of) return nullptr;
  self->cgroup_ = cgroup_of(self->subject_);
  return self->cgroup_.empty() ? nullptr : self->cgroup_.c_str();
}

std::size_t ConditionHosts::Living::pids(void* context, supv_scope scope, std::int32_t* pids,
                                         std::size_t room) {
  const auto* self = static_cast<Living*>(context);
  if (self->subject_ == RunId::none) return 0;
  const Surroundings& surroundings = self->hosts_.surroundings_;
  const std::vector<int> all =
      surroundings.usage->pids(surroundings.now().time, self->subject_, scope);
  std::copy_n(all.begin(), std::min(room, all.size()), pids);
  return all.size();
}

}  // namespace supv
