#include "brain/config_files.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace supv;

namespace {

struct Folder {
  std::string path = "/tmp/supv-config-XXXXXX";
  Folder() {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    REQUIRE(::mkdir((path + "/etc").c_str(), 0700) == 0);
  }
  ~Folder() { std::filesystem::remove_all(path); }

  std::string file(const std::string& name) const { return path + "/etc/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
  }
  /// A file that defines one watch.
  void watch(const std::string& name, const std::string& program) const {
    write(name + ".watch.yaml", "watches:\n  " + name + ":\n    start: " + program + "\n");
  }
  ConfigFiles files(const std::string& instance = "one") const {
    return ConfigFiles(path + "/kept", instance, {});
  }
};

std::string names(const ConfigFiles::Outcome& outcome) {
  if (!outcome.config) return "refused";
  std::string text;
  for (const WatchSpec& watch : outcome.config->watches) {
    text += watch.name + "=" + watch.process.start.argv.at(0) + " ";
  }
  return text;
}

}  // namespace

TEST_CASE("a new supvd reads its paths; a new brain reads the set that was in force") {
  const Folder place;
  place.watch("a", "/bin/a");
  place.watch("b", "/bin/b");
  {
    ConfigFiles files = place.files();
    CHECK_FALSE(files.has_kept());
    CHECK(names(files.begin({place.file("a.watch.yaml")})) == "a=/bin/a ");
    CHECK_FALSE(place.files().has_kept());  // Not before it is in force.
    REQUIRE(files.commit(0).has_value());
    CHECK(names(files.load(7, {place.file("b.watch.yaml")})) == "a=/bin/a b=/bin/b ");
    const auto committed = files.commit(7);
    REQUIRE(committed.has_value());
    CHECK(committed->written);
    CHECK(committed->watches == std::vector<std::string>{"a", "b"});
    CHECK_FALSE(files.commit(7).has_value());
  }
  ConfigFiles brain = place.files();
  CHECK(brain.has_kept());
  CHECK(names(brain.begin({"/ignored"})) == "a=/bin/a b=/bin/b ");
  ConfigFiles other = place.files("two");
  CHECK_FALSE(other.has_kept());
  CHECK(names(other.begin({place.file("a.watch.yaml")})) == "a=/bin/a ");
  struct stat status {};
  REQUIRE(::stat((place.path + "/kept").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a load that never came into force leaves the set alone") {
  const Folder place;
  place.watch("a", "/bin/a");
  place.watch("b", "/bin/b");
  ConfigFiles files = place.files();
  files.begin({place.file("a.watch.yaml")});
  files.commit(0);
  CHECK(names(files.load(1, {place.file("b.watch.yaml")})) == "a=/bin/a b=/bin/b ");  // A plan.
  CHECK(names(files.load(2, {})) == "a=/bin/a ");
  place.write("b.watch.yaml", "watches: [\n");
  const auto refused = files.load(3, {place.file("b.watch.yaml")});
  CHECK_FALSE(refused.config.has_value());
  CHECK(refused.diagnostics.find("b.watch.yaml:") != std::string::npos);
  CHECK_FALSE(files.commit(3).has_value());
}

TEST_CASE("the end of a brain is no load: edits count when they are loaded") {
  const Folder place;
  place.watch("a", "/bin/a");
  {
    ConfigFiles files = place.files();
    files.begin({place.path + "/etc"});
    files.commit(0);
  }
  place.write("a.watch.yaml", "watches:\n  a:\n    strat: x\n");
  place.watch("c", "/bin/c");
  {
    ConfigFiles files = place.files();
    CHECK(names(files.begin({})) == "a=/bin/a ");
    files.commit(0);
    CHECK_FALSE(files.load(1, {}).config.has_value());
  }
  // The second end after the same edit is no different.
  ConfigFiles again = place.files();
  CHECK(names(again.begin({})) == "a=/bin/a ");
  place.watch("a", "/bin/mended");
  ConfigFiles mended = place.files();
  CHECK(names(mended.begin({})) == "a=/bin/a ");
  CHECK(names(mended.load(1, {})) == "a=/bin/mended c=/bin/c ");
}

TEST_CASE("loading one file takes the others as they were, broken or not") {
  const Folder place;
  place.watch("a", "/bin/a");
  place.watch("b", "/bin/b");
  ConfigFiles files = place.files();
  files.begin({place.path + "/etc"});
  files.commit(0);
  place.write("a.watch.yaml", "broken: [");
  place.watch("b", "/bin/b2");
  place.watch("c", "/bin/c");
  CHECK(names(files.load(1, {place.file("b.watch.yaml")})) == "a=/bin/a b=/bin/b2 ");
  files.commit(1);
  CHECK(names(files.load(2, {place.file("c.watch.yaml")})) == "a=/bin/a b=/bin/b2 c=/bin/c ");
  CHECK(names(files.load(3, {})) == "refused");
  place.watch("a", "/bin/a2");
  CHECK(names(files.load(4, {})) == "a=/bin/a2 b=/bin/b2 c=/bin/c ");
}

TEST_CASE("what a load retains is found again as it was, load after load") {
  const Folder place;
  const auto main = [&](const std::string& text) { place.write("main.watch.yaml", text); };
  main("watches:\n  a: {start: /bin/a}\n  b: {start: /bin/b}\n  c: {start: /bin/c}\n");
  {
    ConfigFiles files = place.files();
    files.begin({place.file("main.watch.yaml")});
    files.commit(0);
    main("watches:\n  a: {start: /bin/a}\n  c: {start: /bin/c2}\n");
    CHECK(names(files.load(1, {})) == "a=/bin/a c=/bin/c2 ");
    const auto committed = files.commit(1, {"b"});
    REQUIRE(committed.has_value());
    CHECK(committed->watches == std::vector<std::string>{"a", "c", "b"});
    CHECK(committed->unknown.empty());
  }
  {
    ConfigFiles files = place.files();
    const auto begun = files.begin({});
    CHECK(names(begun) == "a=/bin/a c=/bin/c2 b=/bin/b ");
    CHECK(begun.retained == std::vector<std::string>{"b"});
    CHECK_FALSE(files.commit(0, begun.retained).has_value());
    main("watches:\n  a: {start: /bin/a3}\n");
    CHECK(names(files.load(1, {})) == "a=/bin/a3 ");
    // c as the second load left it, b still as the first one did.
    REQUIRE(files.commit(1, {"b", "c"})->unknown.empty());
  }
  {
    ConfigFiles files = place.files();
    CHECK(names(files.begin({})) == "a=/bin/a3 b=/bin/b c=/bin/c2 ");
    // A load that retains nothing of it, and is only a plan, changes nothing.
    files.load(1, {});
  }
  {
    ConfigFiles files = place.files();
    CHECK(names(files.begin({})) == "a=/bin/a3 b=/bin/b c=/bin/c2 ");
    main("watches:\n  a: {start: /bin/a3}\n  b: {start: /bin/b4}\n");
    place.watch("d", "/bin/d");
    CHECK(names(files.load(1, {place.file("d.watch.yaml")})) == "a=/bin/a3 d=/bin/d ");
    REQUIRE(files.commit(1, {"c"}).has_value());  // b was removed by it
  }
  ConfigFiles files = place.files();
  CHECK(names(files.begin({})) == "a=/bin/a3 d=/bin/d c=/bin/c2 ");
  CHECK(names(files.load(1, {})) == "a=/bin/a3 b=/bin/b4 d=/bin/d ");
  const auto committed = files.commit(1, {"c", "nobody"});
  CHECK(committed->unknown == std::vector<std::string>{"nobody"});
  CHECK(names(place.files().begin({})) == "a=/bin/a3 b=/bin/b4 d=/bin/d c=/bin/c2 ");
  CHECK(names(place.files("two").begin({place.file("d.watch.yaml")})) == "d=/bin/d ");
}

TEST_CASE("what is retained is a copy of no more than its file, unless it needs the others") {
  const Folder place;
  place.watch("a", "/bin/a");
  place.watch("b", "/bin/b");
  place.write("i.watch.yaml", "vars: {program: /bin/included}\ninclude: parts/c.yaml\n");
  REQUIRE(::mkdir(place.file("parts").c_str(), 0700) == 0);
  place.write("parts/c.yaml", "watches: {c: {start: '${vars.program}'}}\n");
  ConfigFiles files = place.files();
  const auto begun = files.begin({place.path + "/etc"});
  REQUIRE_MESSAGE(begun.config.has_value(), begun.diagnostics);
  files.commit(0);
  std::filesystem::remove(place.file("b.watch.yaml"));
  place.write("i.watch.yaml", "vars: {program: /bin/included}\n");
  CHECK(names(files.load(1, {})) == "a=/bin/a ");
  REQUIRE(files.commit(1, {"b", "c"})->unknown.empty());
  const auto kept = read_kept(place.path + "/kept", "one");
  REQUIRE(kept.has_value());
  REQUIRE(kept->retained.size() == 2);
  CHECK(kept->retained.at(0).watches == std::vector<std::string>{"b"});
  CHECK(kept->retained.at(0).from.recording.texts.size() == 1);
  CHECK(kept->retained.at(1).watches == std::vector<std::string>{"c"});
  CHECK(kept->retained.at(1).from.recording.texts.size() == 4);
  CHECK(names(place.files().begin({})) == "a=/bin/a b=/bin/b c=/bin/included ");
}

TEST_CASE("a kept file that is damaged counts as none") {
  const Folder place;
  place.watch("a", "/bin/a");
  ConfigFiles files = place.files();
  place.watch("b", "/bin/b");
  files.begin({place.file("a.watch.yaml"), place.file("b.watch.yaml")});
  files.commit(0);
  place.write("b.watch.yaml", "");
  files.load(1, {});
  REQUIRE(files.commit(1, {"b"})->unknown.empty());
  std::string bytes;
  {
    std::ifstream in(place.path + "/kept", std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    std::ofstream(place.path + "/kept", std::ios::binary) << bytes.substr(0, size);
    CHECK_FALSE(place.files().has_kept());
  }
  std::ofstream(place.path + "/kept") << "18446744073709551615:x";
  CHECK_FALSE(place.files().has_kept());
}
