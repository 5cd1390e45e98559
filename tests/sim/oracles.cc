#include "tests/sim/oracles.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cmath>

namespace supv::sim {
namespace {

constexpr std::uint32_t kRespawn = static_cast<std::uint32_t>(After::respawn);
constexpr std::uint32_t kRemove = static_cast<std::uint32_t>(After::remove);

wire::Run tree_of(const Process& process) {
  return process.plan.host != 0 ? process.plan.host : process.plan.run;
}

}  // namespace

Oracles::Oracles(Sim& sim, Computer& computer, FakeConsul& consul)
    : sim_(sim), computer_(computer), consul_(consul) {}

void Oracles::violated(const std::string& promise, const std::string& what) const {
  throw Violated(fmt::format("{}: {}", promise, what));
}

const WatchSpec* Oracles::spec_of(const std::string& watch) const {
  for (const WatchSpec& spec : config_.watches)
    if (spec.name == watch) return &spec;
  return nullptr;
}

const Process* Oracles::main_of(wire::Run run) const {
  for (const auto& [serial, process] : computer_.processes())
    if (process.plan.run == run && process.leader && process.alive()) return &process;
  return nullptr;
}

bool Oracles::gone(const std::string& watch) const {
  return std::none_of(
      computer_.processes().begin(), computer_.processes().end(), [&](const auto& item) {
        const Process& process = item.second;
        return process.plan.watch == watch && process.plan.purpose == Purpose::main &&
               process.stage == Process::Stage::live && (process.plan.whole_tree || process.leader);
      });
}

/// A watch that is new, or new again: what was asked about one of its name still counts.
void Oracles::begin_book(Book& book) {
  Book fresh;
  fresh.unsure = book.unsure;
  fresh.action = std::move(book.action);
  fresh.by = std::move(book.by);
  fresh.kv_victims = std::move(book.kv_victims);
  fresh.operator_victims = std::move(book.operator_victims);
  fresh.operator_restarts = book.operator_restarts;
  fresh.power_cuts = book.power_cuts;
  fresh.paths = std::move(book.paths);
  book = std::move(fresh);
}

void Oracles::configured(const Config& config) {
  for (const WatchSpec& spec : config.watches)
    if (spec_of(spec.name) == nullptr) begin_book(books_[spec.name]);
  config_ = config;
  for (const WatchSpec& spec : config_.watches)
    for (const ConditionSpec& condition : spec.conditions) {
      if (!condition.kv) continue;
      const std::pair<std::string, bool> what{condition.kv->path, condition.kv->prefix};
      consul_.count_changes(what.first, what.second);
      const std::uint32_t mode = condition.kv->mode == KvSpec::Mode::poll ? 1 : 0;
      if (condition.action == Action::restart)
        books_[spec.name].paths[condition_key(condition) + mode] = what;
    }
}

// --- what the computer sees ----------------------------------------------------------------------

void Oracles::executed(const Process& process) {
  if (process.brain()) return;
  const std::optional<Record>& record = computer_.records[wire::slot_of(process.plan.run)];
  if (!record || record->life.run != process.plan.run || record->life.pid != process.pid ||
      record->phase < wire::Phase::launching)
    violated("5: no program runs that no record names", show(process));
  if (process.plan.purpose != Purpose::main) return;
  Book& book = books_[process.plan.watch];
  if (static_cast<RunId>(process.plan.run) != book.in_flight_from) book.in_flight = false;
  for (const auto& [serial, other] : computer_.processes()) {
    if (other.plan.watch != process.plan.watch || other.plan.purpose != Purpose::main) continue;
    if (other.tag == process.tag || other.stage != Process::Stage::live) continue;
    // `kill: process`: what it left alone on purpose does not count, the tracked one does.
    const std::optional<Record>& recorded = computer_.records[wire::slot_of(other.plan.run)];
    if (!other.plan.whole_tree && (!recorded || recorded->life.pid != other.pid)) continue;
    violated("1: never two", fmt::format("{} beside {}", show(process), show(other)));
  }
  const WatchSpec* spec = spec_of(process.plan.watch);
  if (spec == nullptr) return;
  for (const ConditionSpec& condition : spec->conditions)
    if (condition.kv)
      born_under_[static_cast<RunId>(process.plan.run)][condition_key(condition)] = {
          consul_.content(condition.kv->path, condition.kv->prefix),
          consul_.changes(condition.kv->path, condition.kv->prefix),
          consul_.restored_lately() ? UINT64_MAX : consul_.last_index(), consul_.restores()};
}

void Oracles::ended(const Process& process) {
  if (process.leader) ends_[static_cast<RunId>(process.plan.run)].push_back(process.status);
}

void Oracles::signalled(const Process& process, int signal) {
  if (process.brain() || process.stage != Process::Stage::live) return;
  if (process.stranger())
    violated("9: no stranger is signalled", fmt::format("{} got {}", show(process), signal));
  const auto asked = [&](wire::Run run) { return stops_.contains(static_cast<RunId>(run)); };
  if (ending_) stops_.insert(static_cast<RunId>(process.plan.run));  // and it goes on recorded
  if (asked(process.plan.run) || asked(tree_of(process))) return;
  if (process.exec_at - process.forked_at >= milliseconds(9900))
    return;  // a start that took too long
  const Process* main = main_of(process.plan.run);
  if (main == nullptr || main_of(tree_of(process)) == nullptr) return;  // a leftover
  violated("5: nothing is stopped that nobody decided to stop",
           fmt::format("{} got {}", show(process), signal));
}

// --- what happens to supvd -----------------------------------------------------------------------

void Oracles::supvd_lost(bool brain_only) {
  remembered_.clear();
  left_alone_.clear();
  for (auto& [watch, book] : books_) {
    book.blind = true;
    book.ended.reset();
    book.unexplained.clear();
    // A word that a full disk did not take went with the brain that heard it.
    if (unsaved_.contains("watch/" + watch)) book.word = Word::none, book.unsure = true;
  }
  if (brain_only) return;
  for (const auto& [run, watch] : watch_of_)
    if (!over_.contains(run)) {
      adopted_.insert(run);
      if (ending_) stops_.insert(run);  // it may be recorded, and is then gone on with
    }
}

void Oracles::rebooted() {
  for (auto& [watch, book] : books_) {
    book.restarts = 0;  // not every write was synced
    ++book.power_cuts;
  }
  for (const auto& [run, watch] : watch_of_) adopted_.insert(run);
}

// --- what the core is told, and does
// ---------------------------------------------------------------

void Oracles::told_status(RunId run, const ExitStatus& status) {
  if (!watch_of_.contains(run)) return;
  if (status.how == ExitStatus::How::unknown) {
    if (!adopted_.contains(run))
      violated("5: the death of a brain loses no exit status",
               fmt::format("{:x} is said to have ended unknown", static_cast<std::uint64_t>(run)));
    return;
  }
  const int how = status.how == ExitStatus::How::code ? 1 : 2;
  for (const wire::Status& seen : ends_[run])
    if (seen.how == how && seen.value == status.value) return;
  violated("5: an exit status that could not be seen is unknown",
           fmt::format("{:x} is said to have ended with {} {}", static_cast<std::uint64_t>(run),
                       how == 1 ? "exit" : "signal", status.value));
}

void Oracles::note_end(RunId run) {
  const auto watch = watch_of_.find(run);
  if (watch != watch_of_.end() && over_.insert(run).second)
    books_[watch->second].ended = sim_.agenda.now();
}

void Oracles::told(const Event& event) {
  if (const auto* launched = std::get_if<ev::Launched>(&event)) {
    launched_.try_emplace(launched->run, launched->started.time);
  } else if (const auto* boot = std::get_if<ev::Boot>(&event)) {
    for (const LiveRun& live : boot->runs) launched_.try_emplace(live.run, live.started.time);
  } else if (const auto* exited = std::get_if<ev::Exited>(&event)) {
    told_status(exited->run, exited->status);
  } else if (const auto* gone = std::get_if<ev::Gone>(&event)) {
    told_status(gone->run, gone->status);
    note_end(gone->run);
  } else if (const auto* failed = std::get_if<ev::StartFailed>(&event)) {
    note_end(failed->run);
  }
}

void Oracles::performed(const Effect& effect) {
  if (const auto* spawn = std::get_if<fx::Spawn>(&effect)) {
    spawned(*spawn);
  } else if (const auto* stop = std::get_if<fx::Stop>(&effect)) {
    stopped(stop->run, stop->after);
  } else if (const auto* signal = std::get_if<fx::Signal>(&effect)) {
    stops_.insert(signal->run);
  } else if (const auto* note = std::get_if<fx::Note>(&effect)) {
    if (note->watch.empty() || note->kind != NoteKind::change || note->action.empty()) return;
    const bool by_condition = note->by == "condition";
    if (note->action == "unmonitor" && by_condition) books_[note->watch].let_go = true;
    if (note->action != "start" && note->action != "stop" && note->action != "restart" &&
        note->action != "monitor")
      return;
    if (note->to != "starting" && note->to != "restarting" && note->to != "stopping" &&
        !(note->to == "stopped" && by_condition))
      return;
    Book& book = books_[note->watch];
    book.action = note->action;
    book.by = note->by;
    book.reason = note->reason;
    explain(book);
  } else if (const auto* memory = std::get_if<fx::Remember>(&effect)) {
    if (memory->text.empty())
      remembered_.erase(memory->key);
    else if (memory->key.starts_with("kv/"))
      remembered_.insert(memory->key);
  }
}

/// The reason of what was done is known by now.
void Oracles::explain(Book& book) {
  for (const auto& judge : std::exchange(book.unexplained, {})) judge();
}

void Oracles::replaced(RunId run, const std::string& watch) {
  Book& book = books_[watch];
  if (book.by == "condition" && book.action == "restart" && book.reason.starts_with("consul_kv")) {
    book.kv_victims.insert(run);
    // After a power cut the last sample may not be on the disk.
    std::uint64_t changes = book.power_cuts * book.paths.size();
    for (const auto& [key, what] : book.paths) changes += consul_.changes(what.first, what.second);
    if (book.kv_victims.size() > changes)
      violated("3, 4: one restart for a change, none for silence",
               fmt::format("{}: {} restarts by consul_kv after {} changes", watch,
                           book.kv_victims.size(), changes));
  }
  if (book.by == "operator" && book.action == "restart") {
    book.operator_victims.insert(run);
    if (book.operator_victims.size() > book.operator_restarts)
      violated("6: an action is carried out once",
               fmt::format("{}: {} restarts for {} actions", watch, book.operator_victims.size(),
                           book.operator_restarts));
  }
}

void Oracles::stopped(RunId run, std::uint32_t after) {
  const bool first = stops_.insert(run).second;
  if (first && after == kRemove) judge_stray(run);
  const auto watch = watch_of_.find(run);
  if (!first || after != kRespawn || watch == watch_of_.end()) return;
  books_[watch->second].unexplained.emplace_back(
      [this, run, name = watch->second] { replaced(run, name); });
}

/// Ended because no configuration names it, or because there is a newer one.
void Oracles::judge_stray(RunId run) const {
  const Process* main = main_of(static_cast<wire::Run>(run));
  if (main == nullptr || main->plan.purpose != Purpose::main) return;
  const std::string& watch = main->plan.watch;
  const bool newer = std::any_of(watch_of_.upper_bound(run), watch_of_.end(),
                                 [&](const auto& later) { return later.second == watch; });
  if (spec_of(watch) != nullptr && !newer)
    violated("5: nothing is taken for nobody's that is in force", show(*main));
}

void Oracles::spawned(const fx::Spawn& spawn) {
  const std::optional<Memo> memo = decode_memo(spawn.memo);
  if (!memo) violated("5: what is recorded can be read", spawn.watch);
  if (memo->purpose == Purpose::restart && watch_of_.contains(spawn.host)) {
    stops_.insert(spawn.host);
    books_[spawn.watch].unexplained.emplace_back(
        [this, host = spawn.host] { replaced(host, watch_of_.at(host)); });
  }
  if (memo->purpose == Purpose::stop) stops_.insert(spawn.host);
  if (memo->purpose != Purpose::main) return;
  if (!watch_of_.emplace(spawn.run, spawn.watch).second && ends_.contains(spawn.run))
    violated("1: the number of a run that was is not used again", spawn.watch);
  const WatchSpec* spec = spec_of(spawn.watch);
  if (spec == nullptr) violated("6: nothing is started that no file names", spawn.watch);
  Book& book = books_[spawn.watch];
  if (!book.unsure && (book.word == Word::down || book.word == Word::alone) && !book.in_flight &&
      !unsaved_.contains("watch/" + spawn.watch))
    violated("5, 6: never a start against the operator's word",
             fmt::format("{}: {} by {}: {}", spawn.watch, book.action, book.by, book.reason));
  // A task's baselines, like those of notify_if, are what was last acted on; no run has them.
  const bool task = spec->rare && spec->rare->task;
  for (const ConditionSpec& condition : spec->conditions) {
    if (!condition.kv || condition.action == Action::notify || task) continue;
    if (condition.kv->missed == KvSpec::Missed::ignore) continue;
    const std::uint32_t key = condition_key(condition);
    if (!remembered_.contains(fmt::format("kv/{}/{:08x}", spawn.watch, key))) continue;
    if (std::none_of(memo->baselines.begin(), memo->baselines.end(),
                     [&](const Memo::Baseline& baseline) { return baseline.condition == key; }))
      violated("3: a run begins under the value that is known",
               fmt::format("{}: no baseline for {}", spawn.watch, condition.id));
  }
  book.unexplained.emplace_back([this, &book, name = spec->name, backoff = spec->backoff,
                                 now = sim_.agenda.now(), ended = book.ended,
                                 spawned = book.spawned] {
    judge_spacing(name, backoff, book, {now, ended, spawned});
  });
  book.spawned = sim_.agenda.now();
}

/// Failed starts and deaths in a row wait longer and longer.
void Oracles::judge_spacing(const std::string& name, const BackoffSpec& backoff, Book& book,
                            const Start& start) {
  const bool by_itself = (book.by == "exit" || book.by == "watchdog") &&
                         !book.reason.starts_with("it ended while supvd");
  const bool lived = start.ended && *start.ended - start.spawned >= backoff.reset_after;
  if (by_itself && std::exchange(book.blind, false)) {
    book.streak = 0;  // it may have been decided before
    return;
  }
  if (!by_itself || lived || !start.ended) {
    book.streak = 0;
  } else if (book.streak > 0) {
    const double most = static_cast<double>(backoff.max.count());
    const double least = 0.79 * std::min(most, static_cast<double>(backoff.initial.count()) *
                                                   std::pow(backoff.factor, book.streak - 1));
    const double gap = std::chrono::duration<double, std::milli>(start.now - *start.ended).count();
    if (gap < least)
      violated("2: failing starts are spaced",
               fmt::format("{}: {} ms after failure {}, not {}", name, gap, book.streak, least));
  }
  if (by_itself && start.ended) ++book.streak;
}

}  // namespace supv::sim
