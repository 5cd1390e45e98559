#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/sim.h"

namespace supv::sim {

/// The KV store of a Consul agent as it was seen to behave: X-Consul-Index by the rules of keys,
/// missing keys and prefixes, held queries, wake-ups for nothing, restored snapshots, and every way
/// of failing that is not an answer.
class FakeConsul {
 public:
  struct Entry {
    std::string value;
    std::uint64_t flags = 0;
    std::uint64_t lock_index = 0;
    std::uint64_t create = 0;
    std::uint64_t modify = 0;
  };
  /// What the agent does at present.
  enum class Mood : std::uint8_t {
    well,
    leaderless,  ///< 500 at once, or after seven seconds.
    stale,       ///< Answers of long ago with Knownleader: false.
    forbidding,  ///< 403; a prefix is empty (404).
    throttling,  ///< 429 with Retry-After.
    garbage,     ///< Something that is not Consul.
    silent,      ///< Accepts, and never says a word.
    refusing,    ///< Nothing listens.
  };
  using Answer = std::function<void(HttpReply)>;
  using Store = std::map<std::string, Entry>;

  explicit FakeConsul(Sim& sim) : sim_(sim) {}

  /// A GET. It is answered once, or never while the agent is silent.
  std::uint64_t ask(const std::string& path_and_query, bool consistent, Answer answer);
  /// The client has closed the connection.
  void drop(std::uint64_t query) { held_.erase(query); }

  void put(const std::string& key, const std::string& value);
  void remove(const std::string& key);
  /// Changes flags, or takes and releases a lock: other metadata, same value.
  void touch(const std::string& key);
  void take_snapshot() { snapshot_ = {{store_, tombstones_}}; }
  /// Held queries wake with what was before; then the store and its indexes are those of then.
  void restore_snapshot();
  void set_mood(Mood mood);
  Mood mood() const { return mood_; }

  const Store& store() const { return store_; }
  std::uint64_t last_index() const { return index_; }
  std::uint64_t restores() const { return restores_; }
  /// A snapshot was restored within the last minutes: indexes of before mean nothing.
  bool restored_lately() const {
    return restores_ > 0 && sim_.agenda.now() - restored_ < minutes(2);
  }
  /// The content of a key (of everything under a prefix), in a form that can be compared.
  std::string content(const std::string& path, bool prefix) const;
  /// How often that content has changed since the beginning, restores included.
  std::uint64_t changes(const std::string& path, bool prefix);
  /// Counts content changes from here on.
  void count_changes(const std::string& path, bool prefix);

 private:
  struct Query {
    std::string path;
    bool prefix = false;
    bool blocking = false;
    bool consistent = false;
    std::uint64_t index = 0;
    Duration wait{0};
    Answer answer;
  };
  struct Followed {
    std::string content;
    std::uint64_t changes = 0;
  };
  static Query parse(const std::string& path_and_query);
  std::uint64_t index_of(const Query& query) const;
  std::uint64_t table_index() const;
  HttpReply evaluate(const Query& query) const;
  HttpReply misbehave(const Query& query);
  void reply(std::uint64_t number, HttpReply reply, Duration delay);
  void wake();
  void changed();

  Sim& sim_;
  Mood mood_ = Mood::well;
  Store store_;
  std::map<std::string, std::uint64_t> tombstones_;
  std::uint64_t index_ = 10;
  std::optional<std::pair<Store, std::map<std::string, std::uint64_t>>> snapshot_;
  std::map<std::uint64_t, Query> held_;
  std::map<std::pair<std::string, bool>, Followed> followed_;
  std::uint64_t last_query_ = 0;
  std::uint64_t restores_ = 0;
  Time restored_{};
};

const char* name_of(FakeConsul::Mood mood);

}  // namespace supv::sim
