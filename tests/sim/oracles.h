#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/supervisor.h"
#include "tests/sim/computer.h"
#include "tests/sim/fake_consul.h"

namespace supv::sim {

/// The host's secret for digests, in every history.
inline constexpr HashKey kHashKey{1, 2};

/// Watches a history and throws Violated when a promise is broken. It keeps its own books and
/// trusts the core in nothing.
class Oracles {
 public:
  /// What an operator wants of a watch, by what was answered.
  enum class Word : std::uint8_t { none, up, down, alone };

  Oracles(Sim& sim, Computer& computer, FakeConsul& consul);

  // --- what the computer sees
  void executed(const Process& process);
  void ended(const Process& process);
  void signalled(const Process& process, int signal);
  // --- what happens to supvd
  void supvd_is_to_end() { ending_ = true; }
  void supvd_started() { ending_ = false; }
  void supvd_lost(bool brain_only);
  void rebooted();
  // --- what the core is told, and does
  void told(const Event& event);
  void performed(const Effect& effect);
  /// A turn of the core is over and everything it wanted has been done.
  void turned(const Supervisor& supervisor);
  void said_ready(RunId run) { ready_.insert(run); }
  void configured(const Config& config);
  /// A load comes into force; `missing` is what it said of watches that `named` does not name.
  void loaded(const Config& named, const std::string& missing,
              const std::vector<std::string>& retained);
  /// What a full disk did not take.
  void store_failed(const std::string& key);
  bool unsaved(const std::string& key) const { return unsaved_.contains(key); }
  // --- the operator's word
  /// `from`: the run of now, if a start was under way when it was said.
  void word(const std::string& watch, Word word, std::optional<RunId> from);
  /// Something is being decided about it; returns whether that was so before.
  bool word_unsure(const std::string& watch) { return std::exchange(books_[watch].unsure, true); }
  void word_stands(const std::string& watch) { books_[watch].unsure = false; }
  void action_started(const std::string& watch, const std::string& verb);
  /// Nothing of the watch's trees is there.
  bool gone(const std::string& watch) const;

  /// The faults have ended long ago: everything must be as it should.
  void end(const Supervisor& supervisor);

 private:
  struct Book {
    bool let_go = false;  ///< A condition unmonitored it, since an operator's last word.
    Word word = Word::none;
    bool unsure = false;
    bool in_flight = false;              ///< A start was decided before the word,
    RunId in_flight_from = RunId::none;  ///< when this was the run.
    bool blind = true;               ///< The brain is new: why it starts something is not known.
    std::string action, by, reason;  ///< Of its last transition.
    std::map<std::uint32_t, std::pair<std::string, bool>>
        paths;               ///< What its restarting consul_kv ever watched.
    RunId up = RunId::none;  ///< The last run that was seen up.
    std::set<RunId> kv_victims;
    std::set<RunId> operator_victims;
    std::uint64_t operator_restarts = 0;
    std::uint64_t power_cuts = 0;
    std::uint64_t restarts = 0;
    int streak = 0;             ///< Failed starts in a row.
    std::optional<Time> ended;  ///< When the last run ended.
    Time spawned{};
    /// Deeds whose reason is told after them, in the words of the same turn.
    std::vector<std::function<void()>> unexplained;
  };
  [[noreturn]] void violated(const std::string& promise, const std::string& what) const;
  void spawned(const fx::Spawn& spawn);
  void stopped(RunId run, std::uint32_t after);
  void judge_stray(RunId run) const;
  void replaced(RunId run, const std::string& watch);
  static void begin_book(Book& book);
  void note_end(RunId run);
  void told_status(RunId run, const ExitStatus& status);
  void explain(Book& book);
  struct Start {
    Time now;                   ///< When it was decided,
    std::optional<Time> ended;  ///< when the run before had ended
    Time spawned;               ///< and when that one had begun.
  };
  void judge_spacing(const std::string& name, const BackoffSpec& backoff, Book& book,
                     const Start& start);
  void judge_watch(const Watch& watch);
  void judge_up(const Watch& watch);
  void judge_end(const Watch& watch);
  void judge_values(const Watch& watch);
  Digest digest_of(const KvSpec& kv) const;
  const WatchSpec* spec_of(const std::string& watch) const;
  const Process* main_of(wire::Run run) const;

  Sim& sim_;
  Computer& computer_;
  FakeConsul& consul_;
  Config config_;
  std::map<std::string, Book> books_;
  std::vector<std::string> left_alone_;  ///< By the load of this turn.
  std::map<RunId, std::string> watch_of_;
  std::set<RunId> over_;     ///< Ends that were told.
  std::set<RunId> stops_;    ///< Runs that some brain has decided to end, or to signal.
  std::set<RunId> ready_;    ///< Runs that have said so.
  std::set<RunId> adopted_;  ///< Runs that some keeper lost sight of.
  std::map<RunId, Time> launched_;
  struct Birth {  ///< What a key was when a run's program began.
    std::string content;
    std::uint64_t changes = 0;
    std::uint64_t index = 0;  ///< The newest of the whole store.
    std::uint64_t restores = 0;
  };
  std::map<RunId, std::map<std::uint32_t, Birth>> born_under_;  ///< By condition key.
  std::map<RunId, std::vector<wire::Status>> ends_;
  std::set<std::string> remembered_;  ///< Samples kept by the brain of now.
  std::uint64_t turns_ = 0;
  std::set<std::string> unsaved_;
  bool ending_ = false;
};

}  // namespace supv::sim
