// What LinuxWorld's adapters do with each effect, in small.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/sim_world.h"

namespace supv::sim {
namespace {

std::uint32_t put_ladder(const std::vector<LadderStep>& from, wire::LadderStep* to) {
  for (std::size_t i = 0; i < from.size(); ++i)
    to[i] = {from[i].signal, static_cast<std::uint32_t>(from[i].wait.count())};
  return static_cast<std::uint32_t>(from.size());
}

std::uint32_t put_memo(const std::string& from, std::uint8_t* to) {
  std::copy(from.begin(), from.end(), to);
  return static_cast<std::uint32_t>(from.size());
}

wire::Run number(RunId run) { return static_cast<wire::Run>(run); }

std::uint32_t flags_of(const fx::Spawn& spawn) {
  std::uint32_t flags = 0;
  if (spawn.command.own_shell) flags |= wire::kGroupSignal;
  if (spawn.host != RunId::none) return flags | wire::kGuest;
  if (!spawn.process->pid_file.empty() && spawn.command == spawn.process->start)
    flags |= wire::kDaemonises;
  if (!spawn.process->whole_tree) flags |= wire::kLeaveTree;
  return flags;
}

struct Describe {
  std::string operator()(const fx::Spawn& fx) const {
    const auto memo = decode_memo(fx.memo);
    return fmt::format("spawn {} {:x} purpose {}", fx.watch, number(fx.run),
                       memo ? static_cast<int>(memo->purpose) : -1);
  }
  std::string operator()(const fx::Stop& fx) const {
    return fmt::format("stop {:x} after {}{}", number(fx.run), fx.after, fx.now ? " now" : "");
  }
  std::string operator()(const fx::Note& fx) const {
    return fmt::format("note {} {} -> {} {} by {}: {}", fx.watch, fx.from, fx.to, fx.action, fx.by,
                       fx.reason);
  }
  std::string operator()(const fx::Http& fx) const {
    return fmt::format("http {} {}{}", fx.tag, fx.path_and_query, fx.reuse.empty() ? "" : " reuse");
  }
  std::string operator()(const fx::Remember& fx) const {
    return fmt::format("remember {}{}", fx.key, fx.sync ? " sync" : "");
  }
  std::string operator()(const fx::Forget& fx) const {
    return fmt::format("forget {:x}", number(fx.run));
  }
  std::string operator()(const fx::Follow& fx) const {
    return fmt::format("follow {:x}", number(fx.run));
  }
  std::string operator()(const fx::Finish& fx) const {
    return fmt::format("finish {}{}", fx.code, fx.keep ? " keep" : "");
  }
  template <typename Other>
  std::string operator()(const Other&) const {
    return "";
  }
};

}  // namespace

std::string describe_event(const Event& event) {
  static constexpr const char* kNames[] = {
      "tick",     "boot",         "launched", "start failed", "exited",   "gone",      "stuck",
      "followed", "not followed", "ready",    "alive",        "judged",   "delivered", "http",
      "asked",    "client gone",  "loaded",   "rejected",     "signalled"};
  std::string text = fmt::format("> {}", kNames[event.index()]);
  std::visit(
      [&](const auto& news) {
        if constexpr (requires { news.run; }) text += fmt::format(" {:x}", number(news.run));
        if constexpr (requires { news.left; }) text += fmt::format(" left {}", news.left);
        if constexpr (requires { news.reply; })
          text += fmt::format(" {}: {} index {}", news.tag, news.reply.status, news.reply.index);
      },
      event);
  return text;
}

void SimWorld::perform(const Effect& effect) {
  if (brain_ == 0) throw BrainKilled{};
  die_perhaps();
  if (const std::string line = std::visit(Describe{}, effect); !line.empty())
    sim_.trace("  " + line);
  oracles_.performed(effect);
  std::visit([this](const auto& deed) { act(deed); }, effect);
  die_perhaps();
}

// --- runs --------------------------------------------------------------------------------------

void SimWorld::act(const fx::Spawn& spawn) {
  const auto memo = decode_memo(spawn.memo);
  Plan plan;
  plan.run = number(spawn.run);
  plan.host = number(spawn.host);
  plan.watch = spawn.watch;
  plan.purpose = memo->purpose;
  plan.notify = spawn.notify;
  plan.watchdog = spawn.watchdog;
  if (memo->purpose == Purpose::main) plan.pid_file = spawn.process->pid_file;
  plan.whole_tree = spawn.process->whole_tree;
  plans_.push_back(plan);

  wire::Spawn message{};
  message.kind = wire::Kind::spawn;
  message.flags = flags_of(spawn);
  message.run = plan.run;
  message.host = plan.host;
  message.ladder_count = put_ladder(spawn.ladder, message.ladder);
  message.memo_size = put_memo(spawn.memo, message.memo);
  std::vector<int> handles{static_cast<int>(plans_.size()) - 1};
  if (spawn.notify || spawn.watchdog.count() > 0) {
    message.stored_fds = 1;
    handles.push_back(-2);
    sockets_.insert(spawn.run);
  }
  send(packet_of(message, std::move(handles)));
}

void SimWorld::act(const fx::Adopt& adopt) {
  if (sim_.more.chance(0.5)) return say(ev::StartFailed{adopt.run, "adopt", 0, ""});
  // It has ended by the time the keeper looks.
  wire::Take message{};
  message.kind = wire::Kind::take;
  message.run = number(adopt.run);
  message.pid = 1 << 21;
  message.start_time = 1;
  message.ladder_count = put_ladder(adopt.ladder, message.ladder);
  message.memo_size = put_memo(adopt.memo, message.memo);
  send(packet_of(message));
}

void SimWorld::act(const fx::Deliver& deliver) {
  const bool good = sim_.dice.chance(0.8);
  const std::uint64_t tag = deliver.tag;
  sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(500)), [this, tag, good] {
    if (brain_ != 0 && booted_) say(ev::Delivered{tag, good, true, good ? "" : "refused"});
  });
}

/// Nobody asks for it here.
void SimWorld::act(const fx::TryOut&) {}

void SimWorld::act(const fx::Stop& stop) {
  wire::Stop message{};
  message.kind = wire::Kind::stop;
  message.after = stop.after;
  message.run = number(stop.run);
  message.now = stop.now ? 1 : 0;
  send(packet_of(message));
}

void SimWorld::act(const fx::Signal& signal) {
  send(packet_of(wire::Signal{wire::Kind::signal, signal.signal, number(signal.run)}));
}

void SimWorld::act(const fx::Follow& follow) {
  const int pid = computer_.pid_in_file(follow.path);
  if (pid == 0) return say(ev::NotFollowed{follow.run, 0});
  send(packet_of(wire::Follow{wire::Kind::follow, pid, number(follow.run)}));
}

void SimWorld::act(const fx::Amend& amend) {
  wire::Amend message{};
  message.kind = wire::Kind::amend;
  message.run = number(amend.run);
  message.ladder_count = put_ladder(amend.ladder, message.ladder);
  message.memo_size = put_memo(amend.memo, message.memo);
  send(packet_of(message));
}

void SimWorld::act(const fx::Forget& forget) {
  forgotten_.insert(forget.run);
  sockets_.erase(forget.run);
  mail_.erase(forget.run);
  send(packet_of(wire::Plain{wire::Kind::forget, 0, number(forget.run)}));
}

void SimWorld::act(const fx::Probe& probe) {
  const RunId run = probe.run;
  if (!computer_.serving(number(run))) return;
  oracles_.said_ready(run);
  say(ev::Ready{run});
}

// --- conditions --------------------------------------------------------------------------------

void SimWorld::act(const fx::Arm& arm) { armed_[arm.run] = ++arms_; }

void SimWorld::act(const fx::Disarm& disarm) { armed_.erase(disarm.run); }

void SimWorld::judge_later(RunId run, std::uint32_t condition, bool certain) {
  const auto armed = armed_.find(run);
  if (armed == armed_.end()) return;
  Verdict verdict = sim_.dice.chance(sim_.menu.condition_true)      ? Verdict::yes
                    : sim_.dice.chance(sim_.menu.condition_unknown) ? Verdict::unknown
                                                                    : Verdict::no;
  if (certain) verdict = Verdict::yes;
  const std::uint64_t arm = armed->second;
  sim_.agenda.in(sim_.dice.time(Duration(0), milliseconds(50)),
                 [this, run, condition, verdict, arm, certain] {
                   const auto still = armed_.find(run);
                   const bool there = still != armed_.end() && still->second == arm;
                   if (brain_ != 0 && booted_ && (there || certain))
                     say(ev::Judged{run, condition, verdict, "as the dice fell"});
                 });
}

void SimWorld::act(const fx::Poll& poll) { judge_later(poll.run, poll.condition, false); }

void SimWorld::act(const fx::TellEnd& end) { judge_later(end.run, end.condition, true); }

// --- the rest ----------------------------------------------------------------------------------

void SimWorld::act(const fx::Http& http) { courier_.ask(http); }

void SimWorld::act(const fx::Remember& memory) {
  auto& store = memory.durable ? durable_ : volatile_;
  if (memory.text.empty()) {
    store.erase(memory.key);
    return;
  }
  // A full disk: what has its room already can be changed, what is new cannot be kept.
  if (!store.contains(memory.key) && sim_.dice.chance(sim_.menu.store_fails)) {
    sim_.trace("disk: full");
    return oracles_.store_failed(memory.key);
  }
  store[memory.key] = memory.text;
  if (memory.durable && memory.sync) synced_ = durable_;
}

void SimWorld::act(const fx::Reply& reply) { operator_.replied(reply); }

void SimWorld::act(const fx::Note&) {}

void SimWorld::act(const fx::Load& load) {
  if (sim_.dice.chance(sim_.menu.bad_load))
    return say(ev::Rejected{load.ticket, "x.watch.yaml:1:1: error: no"});
  loaded_[load.ticket] = files_;
  missing_[load.ticket] = missing_asked_;
  say(ev::Loaded{load.ticket, files_});
}

void SimWorld::act(const fx::Applied& applied) {
  if (applied.ticket == 0) return;
  Config& next = loaded_[applied.ticket];
  oracles_.loaded(next, missing_[applied.ticket], applied.retained);
  for (const WatchSpec& watch : kept_->watches)
    if (std::find(applied.retained.begin(), applied.retained.end(), watch.name) !=
        applied.retained.end())
      next.watches.push_back(watch);
  kept_ = next;
  retained_ = applied.retained;
  describe_files();
  oracles_.configured(*kept_);
}

void SimWorld::act(const fx::Finish& finish) {
  oracles_.supvd_is_to_end();
  send(packet_of(wire::Finish{wire::Kind::finish, finish.code}));
}

}  // namespace supv::sim
