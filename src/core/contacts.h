#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/messages.h"

namespace supv {

/// How one contact fares.
struct ContactReport {
  std::string name;
  std::string kind;
  std::size_t waiting = 0;     ///< Notices that it has not been told of yet.
  std::uint64_t told = 0;      ///< Notices that reached it since this brain began.
  std::uint64_t given_up = 0;  ///< Notices that never will.
  std::string error;           ///< Why it cannot be told now; empty: it can, as far as is known.
};

/// Decides what each contact is told, and when. The first notice goes at once; what comes within
/// the next ten seconds goes together. A condition that goes on firing is told once, and again
/// after an hour; that it has recovered is told to those who were told of it. What cannot be
/// delivered is tried again four times, with growing waits, and then given up. Nothing here waits
/// for anybody: a dead contact holds up only itself, and is reported once.
///
/// What waits and what was told is kept with fx::Remember (not durable: for as long as the runtime
/// directory lives), the newest of it if it is much. A notice that was under way when a brain died
/// is delivered again: at least once, not exactly once.
class Contacts {
 public:
  using Effects = std::vector<Effect>;

  /// The contacts in force from now on. Those that stay keep what waits for them; one whose
  /// options changed is tried anew at once.
  void set(Moment now, const std::vector<ContactSpec>& contacts, Effects& effects);
  /// What an earlier brain kept; call it after the first set(). Ignores keys of others.
  void restore(Moment now, const std::vector<Memory>& memory, Effects& effects);
  /// True for the keys under which this keeps its memory.
  static bool owns(std::string_view memory_key);

  /// Something happened that the contacts named in each notice's `to` are to know.
  void take(Moment now, std::vector<Notice> notices, Effects& effects);
  /// The answer to an fx::Deliver.
  void delivered(Moment now, const ev::Delivered& answer, Effects& effects);
  /// When on_deadline() has something to do.
  std::optional<Time> due() const;
  void on_deadline(Moment now, Effects& effects);

  /// One for each contact, in the order of definition.
  std::vector<ContactReport> reports() const;

 private:
  /// What a contact was told of: (watch, source).
  using Subject = std::pair<std::string, std::string>;
  struct Told {
    Time at{};
    std::int64_t wall_ms = 0;
  };
  struct Contact {
    ContactSpec spec;
    std::deque<Notice> waiting;  ///< The first `sent` of them are under way.
    std::size_t sent = 0;
    std::uint64_t tag = 0;  ///< Of the delivery under way; 0: none.
    Time next{};            ///< Nothing is sent before.
    std::size_t tries = 0;  ///< Failed deliveries of what waits first.
    std::map<Subject, Told> told;
    std::string error;       ///< Not empty: it is dead, and that was said.
    bool loss_said = false;  ///< That notices are lost was said since it last worked.
    std::uint64_t lost = 0;  ///< Given up since it last worked.
    std::uint64_t reached = 0;
    std::uint64_t given_up = 0;
    bool queue_changed = false;  ///< What is remembered of it is out of date.
    bool told_changed = false;
  };

  std::vector<Contact*> recipients(const Notice& notice, Effects& effects);
  static bool wanted(Contact& contact, const Notice& notice, Time now);
  static void add(Contact& contact, const Notice& notice, Effects& effects);
  static void lose(Contact& contact, std::size_t first, std::size_t count);
  void send(Moment now, Contact& contact, Effects& effects);
  static void succeeded(Contact& contact, Effects& effects);
  static void failed(Moment now, Contact& contact, const ev::Delivered& answer, Effects& effects);
  Contact* find(std::string_view name);

  // contacts_memory.cc
  static void recall_queue(Moment now, Contact& contact, std::string_view text);
  static void recall_told(Moment now, Contact& contact, std::string_view text);
  void remember(Effects& effects);

  std::list<Contact> contacts_;
  std::set<std::string> unknown_;  ///< Recipients that are nobody; that was said.
  std::uint64_t last_tag_ = 0;
};

}  // namespace supv
