// The promises about states: after each turn, and in the end.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/oracles.h"
#include "tests/sim/stories.h"

namespace supv::sim {

void Oracles::loaded(const Config& named, const std::string& missing,
                     const std::vector<std::string>& retained) {
  std::vector<std::string> left;
  for (const WatchSpec& spec : config_.watches)
    if (std::none_of(named.watches.begin(), named.watches.end(),
                     [&](const WatchSpec& other) { return other.name == spec.name; }))
      left.push_back(spec.name);
  if (missing == "stop") left.clear();
  std::sort(left.begin(), left.end());
  if (left != retained)
    violated("5: what a load leaves in force is known to the next brain",
             fmt::format("{}: {} left, {} retained", missing, left.size(), retained.size()));
  if (missing != "unmonitor") return;
  for (const std::string& watch : left) books_[watch].unsure = true;  // until the turn is over
  left_alone_ = std::move(left);
}

void Oracles::word(const std::string& watch, Word word, std::optional<RunId> from) {
  Book& book = books_[watch];
  book.word = word;
  book.unsure = false;
  book.in_flight = from.has_value();
  book.in_flight_from = from.value_or(RunId::none);
  book.blind = true;
}

void Oracles::store_failed(const std::string& key) {
  unsaved_.insert(key);
  // An action that could not be written down may be carried out again by the next brain.
  if (key.starts_with("action/"))
    for (auto& [watch, book] : books_) ++book.operator_restarts;
}

void Oracles::action_started(const std::string& watch, const std::string& verb) {
  if (verb == "restart" || verb == "start") ++books_[watch].operator_restarts;
}

void Oracles::turned(const Supervisor& supervisor) {
  ++turns_;
  for (auto& [watch, book] : books_) explain(book);
  for (const std::string& name : std::exchange(left_alone_, {}))
    for (const std::uint32_t number : supervisor.roster().all()) {
      const Watch& watch = *supervisor.roster().at(number);
      if (watch.spec().name != name) continue;
      const bool flying = watch.state() == State::starting || watch.state() == State::stopping ||
                          watch.state() == State::stuck;
      word(name, Word::alone, flying ? std::optional(watch.run()) : std::nullopt);
    }
  for (const std::uint32_t number : supervisor.roster().all())
    judge_watch(*supervisor.roster().at(number));
}

void Oracles::judge_watch(const Watch& watch) {
  const std::string& name = watch.spec().name;
  Book& book = books_[name];
  if (watch.restarts() < book.restarts && !unsaved_.contains("watch/" + name))
    violated("3: restarts are counted for ever",
             fmt::format("{}: {} after {}", name, watch.restarts(), book.restarts));
  book.restarts = watch.restarts();
  if (watch.state() == State::up && watch.run() != book.up) {
    book.up = watch.run();
    judge_up(watch);
  }
  if (turns_ % 16 != 0 || watch.state() != State::up || !watch.monitored()) return;
  const WatchReport report = watch.report(sim_.agenda.moment());
  for (std::size_t i = 0; i < report.conditions.size(); ++i)
    if (watch.spec().conditions[i].kv && watch.spec().conditions[i].action == Action::restart &&
        report.conditions[i].verdict == "true" && !report.pending)
      violated("3: what waits says so",
               fmt::format("{}: {} is true and nothing is pending", name, report.conditions[i].id));
}

void Oracles::judge_up(const Watch& watch) {
  const RunId run = watch.run();
  if (adopted_.contains(run)) return;
  const ReadySpec& ready = watch.spec().ready;
  const auto launched = launched_.find(run);
  const auto alive_for = [&](Duration least) {
    return launched != launched_.end() && sim_.agenda.now() - launched->second >= least;
  };
  bool said = ready_.contains(run) || ready.kind == ReadySpec::Kind::condition;
  if (ready.kind == ReadySpec::Kind::alive)
    said = alive_for(seconds(1)) || !watch.spec().process.pid_file.empty();
  if (ready.kind == ReadySpec::Kind::after)
    said = alive_for(ready.after) || !watch.spec().process.pid_file.empty();
  if (!said)
    violated("2.1: up only when the run is ready",
             fmt::format("{} run {:x}", watch.spec().name, static_cast<std::uint64_t>(run)));
}

// --- in the end --------------------------------------------------------------------------------

void Oracles::end(const Supervisor& supervisor) {
  std::set<wire::Run> known;
  for (const std::uint32_t number : supervisor.roster().all()) {
    const Watch& watch = *supervisor.roster().at(number);
    known.insert(static_cast<wire::Run>(watch.run()));
    judge_end(watch);
  }
  for (const auto& [serial, process] : computer_.processes()) {
    if (process.plan.run == 0 || !process.alive() || !process.plan.whole_tree) continue;
    if (process.plan.purpose != Purpose::main) continue;
    if (!known.contains(process.plan.run))
      violated("5, 7: nothing is left behind in the end", show(process));
  }
}

void Oracles::judge_end(const Watch& watch) {
  const WatchSpec& spec = watch.spec();
  const Book& book = books_[spec.name];
  const std::string is = fmt::format("{} is {}, wanted {}, monitored {}", spec.name,
                                     watch.shown_state(), watch.wanted(), watch.monitored());
  if (watch.state() == State::stuck || watch.state() == State::starting ||
      watch.state() == State::stopping || watch.state() == State::backoff)
    violated("2: everything settles", is);
  const bool sure = !book.unsure && !unsaved_.contains("watch/" + spec.name);
  if (sure && book.word == Word::down && (watch.wanted() || !gone(spec.name)))
    violated("5, 7: what an operator stopped is stopped", is);
  if (sure && book.word == Word::alone && watch.monitored())
    violated("5: what is left alone is left alone", is);
  if (sure && book.word == Word::up && !watch.monitored() && !book.let_go)
    violated("5: what is to be monitored is monitored", is);
  const bool others_say = book.by == "condition" && book.action == "stop";
  if (sure && book.word == Word::none && spec.autostart && !others_say && !watch.wanted())
    violated("2: what starts by itself is wanted", is);
  if (!watch.wanted() || !watch.monitored()) {
    if (watch.monitored() && watch.state() == State::stopped && !gone(spec.name))
      violated("7: stop means gone", is);
    return;
  }
  const bool flaps = spec.rare && spec.rare->flapping;
  if (watch.state() == State::failed && (flaps || !spec.keepalive)) return;
  if (watch.state() == State::exited && !spec.keepalive) return;
  if (watch.state() != State::up) violated("2: what should be up is up", is);
  const Process* main = main_of(static_cast<wire::Run>(watch.run()));
  if (main == nullptr || main->pid != watch.pid())
    violated("1, 2: up means that its process is there", is);
  judge_values(watch);
}

/// Nothing runs under a value that is no more, and no baseline is younger than the run.
void Oracles::judge_values(const Watch& watch) {
  if (watch.held()) return;
  const WatchSpec& spec = watch.spec();
  const auto& record = computer_.records[wire::slot_of(static_cast<wire::Run>(watch.run()))];
  const auto memo =
      record ? decode_memo({reinterpret_cast<const char*>(record->memo), record->memo_size})
             : std::nullopt;
  if (!memo) violated("5: a live run is recorded", spec.name);
  for (const ConditionSpec& condition : spec.conditions) {
    if (!condition.kv || condition.action != Action::restart) continue;
    const KvSpec& kv = *condition.kv;
    const std::string now = consul_.content(kv.path, kv.prefix);
    if (now.empty() && kv.on_delete == KvSpec::OnDelete::hold) continue;
    const std::uint32_t key = condition_key(condition);
    const auto baseline =
        std::find_if(memo->baselines.begin(), memo->baselines.end(),
                     [&](const Memo::Baseline& one) { return one.condition == key; });
    if (baseline == memo->baselines.end())
      violated("3: a run has a baseline in the end", fmt::format("{} {}", spec.name, condition.id));
    const Digest digest = digest_of(kv);
    const Digest& had = baseline->sample.digest;
    if (had != digest)
      violated("3: no change lost",
               fmt::format("{} {}: started under {} at {}, but it is {} now", spec.name,
                           condition.id, short_hash(had), baseline->sample.index, now));
    const auto born = born_under_.find(watch.run());
    if (born == born_under_.end() || !born->second.contains(key)) continue;
    const Birth& birth = born->second.at(key);
    // A value that came after the program began, and is said to be what it began under.
    if (birth.content != now && baseline->sample.index > birth.index &&
        birth.restores == consul_.restores() && !baseline->assumed &&
        !(spec.rare && spec.rare->restart) && kv.missed == KvSpec::Missed::act)
      violated("3: the baseline is what the run was started under",
               fmt::format("{} {}: born under {}, it is {}", spec.name, condition.id, birth.content,
                           now));
  }
}

Digest Oracles::digest_of(const KvSpec& kv) const {
  std::vector<KvEntry> entries;
  for (const auto& [key, entry] : consul_.store())
    if (kv.prefix ? key.starts_with(kv.path) : key == kv.path)
      entries.push_back({key, entry.value, entry.modify});
  if (entries.empty()) return {};
  const KvView view{kHashKey, kv};
  if (kv.prefix) return sample_prefix(view, entries).digest;
  return sample_value(view, entries.front())->digest;
}

}  // namespace supv::sim
