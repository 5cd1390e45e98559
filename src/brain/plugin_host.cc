#include "brain/plugin_host.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace supv {

namespace {

using std::chrono::seconds;

/// A process without a channel that has not ended after this time is ended.
constexpr std::chrono::milliseconds kSilence{50};
constexpr seconds kFirstPenalty{1};
/// How long the last call of a condition that is gone may take.
constexpr Duration kAbandoned{10'000};
constexpr int kMostDoublings = 6;
/// Whoever behaves for this long after a penalty begins with the first one again.
constexpr seconds kForgiven{60};

}  // namespace

/// The condition's end here of what is in the process.
class PluginHost::Remote final : public Judge {
 public:
  Remote(PluginHost& host, Id id) : host_(host), id_(id) {}
  ~Remote() override { host_.remove(id_); }
  Answer tell(const supv_event& event) override { return host_.ask(id_, event); }
  void overdue() override { host_.overdue(id_); }

 private:
  PluginHost& host_;
  Id id_;
};

PluginHost::PluginHost(const Surroundings& surroundings, PluginStart start, std::uint32_t slot,
                       std::uint64_t generation)
    : surroundings_(surroundings), start_(std::move(start)), slot_(slot), generation_(generation) {}

// --- its conditions ---

std::unique_ptr<Judge> PluginHost::add(PluginInstance instance) {
  const Id id = ++ids_;
  Known& known = known_[id];
  known.instance = std::move(instance);
  idle_since_.reset();
  if (state_ == State::absent && run_ == RunId::none) start();
  if (state_ == State::running && penalty(known) == nullptr) make(id, known);
  return std::make_unique<Remote>(*this, id);
}

void PluginHost::remove(Id id) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  if (found->second.made && channel_) channel_->send(host::Drop{id});
  known_.erase(found);
  if (known_.empty()) idle_since_ = now();
}

void PluginHost::make(Id id, Known& known) {
  host::Make message{id, start_.name, known.instance.watch, known.instance.options};
  known.made = channel_->send(message);
  if (known.made) called(id, 0);
}

const PluginHost::Penalty* PluginHost::penalty(const Known& known) const {
  const auto found = penalties_.find(known.instance.label);
  return found == penalties_.end() || found->second.until <= now() ? nullptr : &found->second;
}

/// The call of this condition has cost the process its life.
void PluginHost::blame(Id id, const std::string& why) {
  const auto known = known_.find(id);
  if (known == known_.end()) return;
  Penalty& penalty = penalties_[known->second.instance.label];
  penalty.until = now() + kFirstPenalty * (1 << std::min(penalty.count, kMostDoublings));
  ++penalty.count;
  penalty.why = why;
}

host::Ask PluginHost::question(Id id, Known& known, const supv_event& event) const {
  host::Ask ask;
  ask.id = id;
  ask.serial = known.serial;
  ask.kind = event.kind;
  ask.monotonic_ns = event.monotonic_ns;
  ask.wall_ns = event.wall_ns;
  ask.armed_wall_ns = event.armed_wall_ns;
  ask.exit_code = event.exit_code;
  ask.exit_signal = event.exit_signal;
  ask.pid = known.instance.lent->pid(known.instance.lent->context);
  return ask;
}

Answer PluginHost::ask(Id id, const supv_event& event) {
  Known& known = known_.at(id);
  const auto unknown = [this](const std::string& why) {
    return Answer{SUPV_UNKNOWN, fmt::format("plugin {}: {}", start_.name, why), {}};
  };
  if (event.kind != SUPV_REPLY) {
    if (state_ != State::running) return unknown(failure_.empty() ? "it is not there" : failure_);
    if (const Penalty* served = penalty(known)) {
      const auto left = std::chrono::ceil<seconds>(served->until - now());
      return unknown(fmt::format("{}; not asked again for {} s", served->why, left.count()));
    }
    if (!known.made) make(id, known);
    if (!known.made) return unknown("its options are too long");
    // The question before this one is still in the queue: its answer will be that of both.
    const bool queued = event.kind == SUPV_TICK && is_queued(id, known.serial);
    known.pending = true;
    if (queued) return {SUPV_PENDING, {}, {}};
    ++known.serial;
    channel_->send(question(id, known, event));
  } else {
    if (state_ != State::running || !known.made) return unknown(failure_);
    host::Reply reply;
    reply.ask = question(id, known, event);
    reply.failed = event.reply->error != nullptr;
    if (reply.failed) reply.error = event.reply->error;
    reply.status = event.reply->status;
    reply.signal = event.reply->signal;
    if (event.reply->text != nullptr)
      reply.text.assign(event.reply->text, std::min(event.reply->text_size, host::kMaxReply));
    channel_->send(reply);
  }
  known.pending = true;
  called(id, known.serial);
  return {SUPV_PENDING, {}, {}};
}

void PluginHost::called(Id id, std::uint64_t serial) {
  if (calls_.empty()) head_since_ = now();
  calls_.push_back({id, serial});
}

void PluginHost::returned(Id id, std::uint64_t serial) {
  const auto found = std::find_if(calls_.begin(), calls_.end(), [&](const Call& call) {
    return call.id == id && call.serial == serial;
  });
  if (found == calls_.end()) return;
  if (found == calls_.begin()) head_since_ = now();
  calls_.erase(found);
}

bool PluginHost::is_queued(Id id, std::uint64_t serial) const {
  return serial > 0 && std::any_of(calls_.begin(), calls_.end(), [&](const Call& call) {
           return call.id == id && call.serial == serial;
         });
}

bool PluginHost::has_threads() const { return (start_.flags & SUPV_WAITS) != 0; }

/// With one thread a call that waits for its turn is late through no fault of its own: the one that
/// is under way has a time limit.
void PluginHost::overdue(Id id) {
  const auto known = known_.find(id);
  if (known == known_.end() || state_ != State::running) return;
  known->second.pending = false;
  if (has_threads()) hung(id);
}

/// When the call that is under way must have returned; nothing while none is, or many are.
std::optional<Time> PluginHost::call_limit() const {
  if (state_ != State::running || calls_.empty() || has_threads()) return std::nullopt;
  const auto known = known_.find(calls_.front().id);
  return head_since_ + (known == known_.end() ? kAbandoned : known->second.instance.patience);
}

void PluginHost::hung(Id id) {
  const auto known = known_.find(id);
  const bool gone = known == known_.end();
  const std::string why =
      fmt::format("its call for {} did not return within {}",
                  gone ? "a condition that is gone" : known->second.instance.label,
                  format_duration(gone ? kAbandoned : known->second.instance.patience));
  blame(id, why);
  kill(why);
}

void PluginHost::conclude(Known& known, const Answer& answer) {
  if (!std::exchange(known.pending, false)) return;
  supv_verdict verdict{};
  verdict.size = sizeof verdict;
  verdict.outcome = answer.outcome;
  verdict.reason = answer.reason.c_str();
  verdict.metrics = answer.metrics.empty() ? nullptr : answer.metrics.c_str();
  known.instance.lent->conclude(known.instance.lent->context, &verdict);
}

void PluginHost::conclude_all(const std::string& why) {
  const Answer answer{SUPV_UNKNOWN, fmt::format("plugin {}: {}", start_.name, why), {}};
  for (auto& [id, known] : known_) conclude(known, answer);
}

// --- what the process says ---

void PluginHost::read() {
  channel_->flush();
  while (channel_) {
    const auto message = channel_->receive();
    if (!message) break;
    std::visit([this](const auto& one) { hear(one); }, *message);
  }
  if (!channel_ || !channel_->closed()) return;
  channel_watching_.reset();
  // Most likely it has ended, and the keeper is about to say how.
  if (state_ == State::running) silent_until_ = now() + kSilence;
}

void PluginHost::hear(const host::Said& said) {
  returned(said.id, said.serial);
  const auto found = known_.find(said.id);
  if (found == known_.end() || said.serial == 0 || found->second.serial != said.serial) return;
  const auto penalty = penalties_.find(found->second.instance.label);
  if (penalty != penalties_.end() && penalty->second.until + kForgiven <= now())
    penalties_.erase(penalty);
  useful_ = true;
  conclude(found->second, {said.outcome, said.reason, said.metrics});
}

void PluginHost::hear(const host::Want& want) {
  host::Got got;
  got.call = want.call;
  const auto found = known_.find(want.id);
  if (found != known_.end()) {
    const supv_host& lent = *found->second.instance.lent;
    const auto scope = static_cast<supv_scope>(want.scope);
    switch (want.what) {
      case host::Want::What::usage: {
        supv_usage usage{};
        usage.size = sizeof usage;
        got.result = lent.usage(lent.context, scope, want.with_pss ? 1 : 0, &usage);
        got.bytes.assign(reinterpret_cast<const char*>(&usage), sizeof usage);
        break;
      }
      case host::Want::What::pids: {
        std::vector<std::int32_t> pids(4096);
        pids.resize(
            std::min(pids.size(), lent.pids(lent.context, scope, pids.data(), pids.size())));
        got.result = static_cast<std::int64_t>(pids.size());
        got.bytes.assign(reinterpret_cast<const char*>(pids.data()),
                         pids.size() * sizeof(std::int32_t));
        break;
      }
      case host::Want::What::cgroup: {
        const char* path = lent.cgroup(lent.context);
        got.result = path == nullptr ? -1 : 0;
        if (path != nullptr) got.bytes = path;
        break;
      }
    }
  }
  channel_->send(got);
}

void PluginHost::hear(const host::Fetch& fetch) {
  const auto found = known_.find(fetch.id);
  if (found == known_.end()) return;
  Known& known = found->second;
  supv_http_request request{};
  request.size = sizeof request;
  request.method = fetch.method.c_str();
  request.url = fetch.url.c_str();
  request.headers = fetch.headers.c_str();
  request.body = fetch.body.c_str();
  request.unix_socket = fetch.unix_socket.c_str();
  request.ca_file = fetch.ca_file.c_str();
  request.client_cert = fetch.client_cert.c_str();
  request.client_key = fetch.client_key.c_str();
  request.tls_server_name = fetch.server_name.c_str();
  request.insecure = fetch.insecure ? 1 : 0;
  request.redirects = fetch.redirects;
  request.timeout_ms = fetch.timeout_ms;
  // Until the answer comes nothing of it is under way.
  returned(fetch.id, known.serial);
  const supv_host& lent = *known.instance.lent;
  if (!known.pending || lent.http(lent.context, &request) != 0)
    refuse(known, fetch.id, "this request cannot be made");
}

void PluginHost::hear(const host::Run& run) {
  const auto found = known_.find(run.id);
  if (found == known_.end()) return;
  Known& known = found->second;
  returned(run.id, known.serial);
  const supv_host& lent = *known.instance.lent;
  if (!known.pending || lent.run(lent.context, run.command.c_str(), run.timeout_ms) != 0)
    refuse(known, run.id, "this command cannot be run");
}

void PluginHost::refuse(Known& known, Id id, const std::string& why) {
  supv_event event{};
  const Moment at = surroundings_.now();
  event.monotonic_ns = at.time.time_since_epoch().count();
  event.wall_ns = at.wall_ms * 1'000'000;
  event.kind = SUPV_REPLY;
  host::Reply reply;
  reply.ask = question(id, known, event);
  reply.failed = true;
  reply.error = why;
  channel_->send(reply);
  called(id, known.serial);
}

void PluginHost::hear(const host::Trouble& trouble) {
  std::string why = printable(trouble.text);
  const auto known = known_.find(trouble.id);
  if (known != known_.end()) why += fmt::format(" ({})", known->second.instance.label);
  blame(trouble.id, why);
  calls_.clear();  // Nobody else is to blame.
  kill(why);
}

}  // namespace supv
