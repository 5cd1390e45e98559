#include "core/contacts.h"

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

using namespace supv;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

/// Contacts, a clock, and what came out.
struct Bench {
  Contacts contacts;
  Moment now{Time(hours(100)), 1'700'000'000'000};
  std::vector<fx::Deliver> sent;
  std::vector<fx::Note> notes;
  std::map<std::string, std::string> kept;

  explicit Bench(const std::vector<ContactSpec>& specs = {{"ops", "webhook", {"team"}, {}}}) {
    call([&](auto& effects) { contacts.set(now, specs, effects); });
  }
  template <typename Call>
  void call(Call function) {
    std::vector<Effect> effects;
    function(effects);
    for (const Effect& effect : effects) {
      if (const auto* deliver = std::get_if<fx::Deliver>(&effect)) sent.push_back(*deliver);
      if (const auto* note = std::get_if<fx::Note>(&effect)) notes.push_back(*note);
      if (const auto* memory = std::get_if<fx::Remember>(&effect)) {
        CHECK_FALSE(memory->durable);
        CHECK(Contacts::owns(memory->key));
        CHECK(memory->text.size() <= 8192);
        kept[memory->key] = memory->text;
        if (memory->text.empty()) kept.erase(memory->key);
      }
    }
  }
  void take(std::vector<Notice> notices) {
    call([&](auto& effects) { contacts.take(now, std::move(notices), effects); });
  }
  void answer(bool good, std::string error = "", bool again = true) {
    REQUIRE_FALSE(sent.empty());
    const ev::Delivered done{sent.back().tag, good, again, std::move(error)};
    call([&](auto& effects) { contacts.delivered(now, done, effects); });
  }
  void pass(std::chrono::nanoseconds time) {
    now.time += time;
    now.wall_ms += std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    call([&](auto& effects) { contacts.on_deadline(now, effects); });
  }
  /// How long until due(); -1: never.
  long due_s() const {
    if (!contacts.due()) return -1;
    return std::chrono::duration_cast<seconds>(*contacts.due() - now.time).count();
  }
};

Notice notice(Notice::Kind kind, std::string watch, std::string source, std::string to = "ops") {
  Notice one;
  one.kind = kind;
  one.watch = std::move(watch);
  one.source = std::move(source);
  one.text = "it is so";
  one.to.contacts = {std::move(to)};
  one.wall_ms = 1'700'000'000'000;
  return one;
}

Notice fires(std::string watch = "w", bool lasts = true) {
  Notice one = notice(Notice::Kind::fired, std::move(watch), "memory#1");
  one.lasts = lasts;
  return one;
}
Notice recovers(std::string watch = "w") {
  return notice(Notice::Kind::recovered, std::move(watch), "memory#1");
}
Notice state(std::string watch = "w") {
  return notice(Notice::Kind::state, std::move(watch), "state");
}

}  // namespace

TEST_CASE("the first notice goes at once, what follows within ten seconds goes together") {
  Bench bench;
  bench.take({state("a")});
  REQUIRE(bench.sent.size() == 1);
  CHECK(bench.sent[0].contact == "ops");
  CHECK(bench.sent[0].notices.size() == 1);
  bench.answer(true);
  for (int i = 0; i < 19; ++i) bench.take({state("w" + std::to_string(i))});
  CHECK(bench.sent.size() == 1);
  CHECK(bench.due_s() == 10);
  bench.pass(seconds(9));
  CHECK(bench.sent.size() == 1);
  bench.pass(seconds(1));
  REQUIRE(bench.sent.size() == 2);
  CHECK(bench.sent[1].notices.size() == 19);
  CHECK(bench.sent[1].notices[18].watch == "w18");
  CHECK(bench.sent[1].tag != bench.sent[0].tag);
  bench.answer(true);
  CHECK(bench.due_s() == -1);
  bench.pass(minutes(1));
  bench.take({state("b")});
  CHECK(bench.sent.size() == 3);
  CHECK(bench.notes.empty());
}

TEST_CASE("what happens at one moment is one delivery") {
  Bench bench;
  bench.take({state("a"), state("b"), state("c")});
  REQUIRE(bench.sent.size() == 1);
  CHECK(bench.sent[0].notices.size() == 3);
}

TEST_CASE("names and groups: everyone meant, once") {
  Bench bench({{"a", "syslog", {"team", "all"}, {}},
               {"b", "syslog", {"team"}, {}},
               {"c", "syslog", {"all"}, {}}});
  Notice one = state();
  one.to.contacts = {"team", "a", "team"};
  bench.take({one});
  REQUIRE(bench.sent.size() == 2);
  CHECK(bench.sent[0].contact == "a");
  CHECK(bench.sent[1].contact == "b");
  CHECK(bench.sent[0].tag != bench.sent[1].tag);
  one.to.contacts = {"nobody", "c"};
  bench.take({one, one});
  CHECK(bench.sent.size() == 3);
  REQUIRE(bench.notes.size() == 1);
  CHECK(bench.notes[0].kind == NoteKind::warning);
  CHECK(bench.notes[0].reason == "there is no contact nobody to be told");
}

TEST_CASE("what goes on firing is told once, and again after an hour") {
  Bench bench;
  const auto tell = [&](const Notice& one) {
    bench.pass(seconds(11));
    const std::size_t before = bench.sent.size();
    bench.take({one});
    if (bench.sent.size() == before) return false;
    bench.answer(true);
    return true;
  };
  CHECK(tell(fires()));
  CHECK_FALSE(tell(fires()));
  CHECK(tell(fires("other")));
  bench.pass(minutes(50));
  CHECK_FALSE(tell(fires()));
  bench.pass(minutes(10));
  CHECK(tell(fires()));
  CHECK_FALSE(tell(fires()));
  CHECK(tell(recovers()));
  CHECK_FALSE(tell(recovers()));
  CHECK(tell(fires()));
  // What does not last is each time something new.
  CHECK(tell(fires("event", false)));
  CHECK(tell(fires("event", false)));
  CHECK(tell(state()));
  CHECK(tell(state()));
}

TEST_CASE("flapping in the same words is told once an hour, in others at once") {
  Bench bench;
  Notice flaps = notice(Notice::Kind::flapping, "w", "flapping");
  bench.take({flaps, flaps});
  CHECK(bench.sent.back().notices.size() == 1);
  flaps.text = "given up";
  bench.answer(true);
  bench.pass(seconds(10));
  bench.take({flaps});
  CHECK(bench.sent.size() == 2);
}

TEST_CASE("only who was told of it is told that it has recovered") {
  Bench bench({{"a", "syslog", {}, {}}, {"b", "syslog", {}, {}}});
  Notice one = fires();
  one.to.contacts = {"a"};
  bench.take({one});
  one = recovers();
  one.to.contacts = {"a", "b"};
  bench.answer(true);
  bench.pass(seconds(10));
  bench.take({one});
  REQUIRE(bench.sent.size() == 2);
  CHECK(bench.sent[1].contact == "a");
}

TEST_CASE("failures are repeated with growing waits, said once, and then given up") {
  Bench bench;
  bench.take({fires()});
  const long waits[] = {5, 30, 120, 600};
  for (const long wait : waits) {
    bench.answer(false, "connection refused");
    CHECK(bench.due_s() == wait);
    bench.pass(seconds(wait - 1));
    const std::size_t before = bench.sent.size();
    bench.pass(seconds(1));
    CHECK(bench.sent.size() == before + 1);
  }
  REQUIRE(bench.notes.size() == 1);
  CHECK(bench.notes[0].reason ==
        "contact ops (webhook) cannot be told: connection refused; tried again in 5s");
  CHECK(bench.contacts.reports()[0].error == "connection refused");
  bench.answer(false, "connection refused");
  CHECK(bench.due_s() == -1);
  REQUIRE(bench.notes.size() == 2);
  CHECK(bench.notes[1].reason ==
        "contact ops (webhook) cannot be told: connection refused; 1 "
        "notice given up after 5 tries");
  CHECK(bench.kept.empty());
  // Who never heard of it hears of no recovery; the next failures are not news.
  bench.take({recovers()});
  CHECK(bench.sent.size() == 5);
  bench.pass(minutes(1));
  bench.take({fires(), state()});
  CHECK(bench.sent.size() == 6);
  bench.answer(false, "not found", false);
  CHECK(bench.notes.size() == 2);
  bench.pass(minutes(1));
  bench.take({state()});
  bench.answer(true);
  REQUIRE(bench.notes.size() == 3);
  CHECK(bench.notes[2].kind == NoteKind::change);
  CHECK(bench.notes[2].reason == "contact ops (webhook) works again; 3 notices never reached it");
  CHECK(bench.contacts.reports()[0].error.empty());
  CHECK(bench.contacts.reports()[0].given_up == 3);
  CHECK(bench.contacts.reports()[0].told == 1);
}

TEST_CASE("what no other try can mend is given up at once") {
  Bench bench;
  bench.take({fires()});
  bench.answer(false, "HTTP 404", false);
  REQUIRE(bench.notes.size() == 1);
  CHECK(bench.notes[0].kind == NoteKind::warning);
  CHECK(bench.notes[0].reason ==
        "contact ops (webhook) cannot be told: HTTP 404; 1 notice given up");
  CHECK(bench.due_s() == -1);
}

TEST_CASE("news that come during the waits join what waits") {
  Bench bench;
  bench.take({state("a")});
  bench.answer(false, "x");
  bench.take({state("b")});
  CHECK(bench.sent.size() == 1);
  bench.pass(seconds(5));
  REQUIRE(bench.sent.size() == 2);
  CHECK(bench.sent[1].notices.size() == 2);
  bench.take({state("c")});
  bench.answer(true);
  CHECK(bench.sent.size() == 2);
  bench.pass(seconds(10));
  REQUIRE(bench.sent.size() == 3);
  CHECK(bench.sent[2].notices.size() == 1);
  CHECK(bench.sent[2].notices[0].watch == "c");
}

TEST_CASE("a dead contact holds up no other one, nor more than a hundred notices") {
  Bench bench({{"dead", "webhook", {"team"}, {}}, {"good", "syslog", {"team"}, {}}});
  Notice one = state();
  one.to.contacts = {"team"};
  bench.take({one});
  REQUIRE(bench.sent.size() == 2);
  bench.answer(true);  // good; dead does not answer.
  for (int i = 0; i < 150; ++i) {
    one.watch = "w" + std::to_string(i);
    bench.take({one});
  }
  bench.pass(seconds(10));
  REQUIRE(bench.sent.size() == 3);
  CHECK(bench.sent[2].contact == "good");
  CHECK(bench.sent[2].notices.size() == 100);
  CHECK(bench.sent[2].notices.front().watch == "w50");
  CHECK(bench.sent[2].notices.back().watch == "w149");
  CHECK(bench.contacts.reports()[0].waiting == 101);  // One of them under way.
  CHECK(bench.contacts.reports()[0].given_up == 50);
  REQUIRE(bench.notes.size() == 2);  // One for each, however many are lost.
  CHECK(bench.notes[0].reason ==
        "contact dead (webhook): more than 100 notices wait; the oldest are given up");
  bench.answer(true);
  CHECK(bench.notes.back().reason == "contact good (syslog): 50 notices never reached it");
}

TEST_CASE("an answer that belongs to nothing changes nothing") {
  Bench bench;
  bench.take({state()});
  for (const std::uint64_t tag : {0, 99}) {
    bench.call([&](auto& effects) {
      bench.contacts.delivered(bench.now, {tag, true, true, ""}, effects);
    });
  }
  CHECK(bench.contacts.reports()[0].waiting == 1);
  bench.answer(true);
  bench.answer(true);
  CHECK(bench.contacts.reports()[0].told == 1);
}

TEST_CASE("a new configuration keeps what waits, and tries a mended contact at once") {
  Bench bench;
  bench.take({state()});
  bench.answer(false, "x");
  const std::vector<ContactSpec> same = {{"ops", "webhook", {"team"}, {}}};
  bench.call([&](auto& effects) { bench.contacts.set(bench.now, same, effects); });
  CHECK(bench.due_s() == 5);
  const std::vector<ContactSpec> other = {{"ops", "webhook", {}, {{"url", "http://new"}}}};
  bench.call([&](auto& effects) { bench.contacts.set(bench.now, other, effects); });
  CHECK(bench.due_s() == 0);
  CHECK(bench.kept.count("contact/ops") == 1);
  bench.call([&](auto& effects) { bench.contacts.set(bench.now, {}, effects); });
  CHECK(bench.kept.empty());
  CHECK(bench.contacts.reports().empty());
  CHECK(bench.due_s() == -1);
}

TEST_CASE("the next brain tells what waited, and who recovered") {
  Bench first;
  first.take({fires()});
  first.answer(true);
  Notice waiting = state("v");
  waiting.text = "odd \x1e\x1f bytes\nand a line";
  waiting.to.priority = "high";
  waiting.action = "restart";
  first.take({waiting});
  std::vector<Memory> memory;
  for (const auto& [key, text] : first.kept) memory.push_back({key, text});
  memory.push_back({"contact/gone", "whatever"});
  memory.push_back({"watch/w", "not ours"});
  memory.push_back({"contact-told/ops2", ""});
  Bench next;
  next.call([&](auto& effects) { next.contacts.restore(next.now, memory, effects); });
  REQUIRE(next.sent.size() == 1);
  REQUIRE(next.sent[0].notices.size() == 1);
  const Notice& back = next.sent[0].notices[0];
  CHECK(back.watch == "v");
  CHECK(back.kind == Notice::Kind::state);
  CHECK(back.text == "odd    bytes\nand a line");
  CHECK(back.to.priority.text() == "high");
  CHECK(back.action == "restart");
  next.answer(true);
  next.pass(seconds(10));
  next.take({fires()});
  CHECK(next.sent.size() == 1);
  next.take({recovers()});
  CHECK(next.sent.size() == 2);
}

TEST_CASE("a memory that is too long keeps the newest") {
  Bench first;
  first.take({state("a")});
  Notice one = state();
  one.text = std::string(5000, 'x');
  for (int i = 0; i < 100; ++i) {
    one.watch = "w" + std::to_string(i);
    first.take({one});
  }
  Bench next;
  next.call([&](auto& effects) {
    next.contacts.restore(next.now, {{"contact/ops", first.kept.at("contact/ops")}}, effects);
  });
  REQUIRE(next.sent.size() == 1);
  CHECK(next.sent[0].notices.size() > 15);
  CHECK(next.sent[0].notices.back().watch == "w99");
  for (const std::string& nonsense : {std::string("\x1e\x1e"), std::string(300, '\x1f')}) {
    Bench other;
    other.call([&](auto& effects) {
      other.contacts.restore(other.now, {{"contact/ops", nonsense}, {"contact-told/ops", nonsense}},
                             effects);
    });
    CHECK(other.sent.empty());
  }
}
