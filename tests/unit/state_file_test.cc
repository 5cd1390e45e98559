#include "brain/state_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "brain/host_key.h"

using namespace supv;

namespace {

struct Scratch {
  Scratch() {
    std::string name = "/tmp/supv-state-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    path = directory + "/state";
  }
  ~Scratch() { std::filesystem::remove_all(directory); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string directory;
  std::string path;
};

using Texts = std::map<std::string, std::string>;

Texts texts_of(const StateFile& file) {
  Texts texts;
  for (const Memory& memory : file.found()) {
    CHECK(texts.emplace(memory.key, memory.text).second);  // No key twice.
  }
  return texts;
}

Texts texts_in(const std::string& path) { return texts_of(StateFile(path)); }

void put(StateFile& file, const std::string& key, const std::string& text) {
  const auto trouble = file.put(key, text, false);
  if (trouble) FAIL(*trouble);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// No file may grow beyond so many bytes while it exists: a full disk, as the process sees it.
struct FullDisk {
  explicit FullDisk(std::uint64_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit limit{bytes, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  rlimit before{};
};

}  // namespace

TEST_CASE("what was put is found again, and only the newest of it") {
  const Scratch scratch;
  {
    StateFile file(scratch.path);
    CHECK(file.found().empty());
    put(file, "a", "1");
    put(file, "b", std::string(5000, 'x'));
    put(file, "a", "2");
    put(file, "c", "gone");
    put(file, "c", "");
    CHECK_FALSE(file.put("b", std::string(6144, 'y'), true));
    put(file, "never there", "");
  }
  CHECK(texts_in(scratch.path) == Texts{{"a", "2"}, {"b", std::string(6144, 'y')}});
  struct stat status {};
  REQUIRE(::stat(scratch.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("limits are refused, not cut") {
  const Scratch scratch;
  StateFile file(scratch.path);
  const std::string long_key(StateFile::kMaxKey, 'k');
  CHECK_FALSE(file.put(long_key, std::string(StateFile::kMaxText, 't'), false));
  CHECK(file.put(long_key, std::string(StateFile::kMaxText + 1, 'u'), false));
  CHECK(file.put(long_key + "k", "x", false));
  CHECK(file.put("", "x", false));
  CHECK(texts_in(scratch.path) == Texts{{long_key, std::string(StateFile::kMaxText, 't')}});
}

TEST_CASE("a model with random changes and reopenings never disagrees") {
  const Scratch scratch;
  std::mt19937 random(7);
  Texts model;
  for (int round = 0; round < 60; ++round) {
    StateFile file(scratch.path);
    REQUIRE(texts_of(file) == model);
    for (int i = 0; i < 40; ++i) {
      const std::string key = "key " + std::to_string(random() % 12);
      const bool drop = random() % 4 == 0;
      const std::string text(drop ? 0 : 1 + random() % StateFile::kMaxText,
                             static_cast<char>('a' + random() % 26));
      put(file, key, text);
      if (drop) {
        model.erase(key);
      } else {
        model[key] = text;
      }
    }
  }
  // Room is used again: 12 keys of two chains of at most 9 slots, and what was allocated ahead.
  CHECK(std::filesystem::file_size(scratch.path) <= (12 * 2 * 9 + 64) * StateFile::kSlot);
}

TEST_CASE("a torn or damaged slot leaves the text before") {
  const Scratch scratch;
  {
    StateFile file(scratch.path);
    put(file, "k", "first");
    put(file, "k", "second");
  }
  std::string bytes = read_all(scratch.path);
  const std::size_t at = bytes.find("second");
  REQUIRE(at != std::string::npos);
  bytes[at] = 'S';
  write_all(scratch.path, bytes);
  CHECK(texts_in(scratch.path) == Texts{{"k", "first"}});
}

TEST_CASE("half of a long text is none of it") {
  const Scratch scratch;
  const std::string before(4000, 'b');
  {
    StateFile file(scratch.path);
    put(file, "k", before);
    put(file, "k", std::string(8000, 'n'));
  }
  const std::string bytes = read_all(scratch.path);
  // Each of the slots of the new text in turn is lost.
  int lost = 0;
  for (std::size_t slot = 0; slot + StateFile::kSlot <= bytes.size(); slot += StateFile::kSlot) {
    if (bytes.substr(slot, StateFile::kSlot).find("nnnn") == std::string::npos) continue;
    std::string damaged = bytes;
    damaged.replace(slot + 40, 984, std::string(984, '\0'));
    write_all(scratch.path, damaged);
    CHECK(texts_in(scratch.path) == Texts{{"k", before}});
    ++lost;
  }
  CHECK(lost == 9);  // 991 bytes fit beside a key of one.
}

TEST_CASE("what was dropped does not come back when its mark is lost halfway") {
  const Scratch scratch;
  std::string dropped;
  {
    StateFile file(scratch.path);
    put(file, "k", "one");
    put(file, "k", "two");
    put(file, "k", "");
    put(file, "k", "three");  // Takes the slots of the old ones.
    put(file, "k", "");
    dropped = read_all(scratch.path);
  }
  CHECK(dropped.find("one") == std::string::npos);
  CHECK(dropped.find("two") == std::string::npos);
  CHECK(dropped.find("three") == std::string::npos);
  CHECK(texts_in(scratch.path).empty());
}

TEST_CASE("a full disk costs no key that is there") {
  const Scratch scratch;
  StateFile file(scratch.path);
  put(file, "short", "1");
  put(file, "long", std::string(3000, '1'));
  {
    const FullDisk full(std::filesystem::file_size(scratch.path));
    for (int i = 0; i < 100; ++i) {
      put(file, "short", std::to_string(i));
      put(file, "long", std::string(3000, static_cast<char>('a' + i % 26)));
    }
    std::optional<std::string> trouble;
    for (int i = 0; i < 200 && !trouble; ++i) {
      trouble = file.put("new " + std::to_string(i), "x", false);
    }
    REQUIRE(trouble);
    CHECK(trouble->rfind("no room: ", 0) == 0);
    put(file, "short", "last");
    put(file, "new 0", "changed");
  }
  const Texts found = texts_in(scratch.path);
  CHECK(found.at("short") == "last");
  CHECK(found.at("long") == std::string(3000, 'a' + 99 % 26));
  CHECK(found.at("new 0") == "changed");
  put(file, "later", "there is room again");
}

TEST_CASE("random bytes never crash it, and it works on") {
  const Scratch scratch;
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    if (round % 3 == 0) {
      bytes.resize(random() % 20000);
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else {
      std::filesystem::remove(scratch.path);
      {
        StateFile file(scratch.path);
        for (int i = 0; i < 10; ++i) {
          put(file, std::to_string(random() % 5), std::string(1 + random() % 3000, 'v'));
        }
      }
      bytes = read_all(scratch.path);
      for (unsigned i = 0; i <= random() % 8; ++i) {
        switch (random() % 4) {
          case 0:
            bytes[random() % bytes.size()] = static_cast<char>(random());
            break;
          case 1:
            bytes.resize(random() % bytes.size() + 1);
            break;
          case 2: {  // A whole slot twice.
            const std::size_t slots = bytes.size() / StateFile::kSlot;
            if (slots == 0) break;
            const std::string slot =
                bytes.substr(random() % slots * StateFile::kSlot, StateFile::kSlot);
            bytes.replace(random() % slots * StateFile::kSlot, StateFile::kSlot, slot);
            break;
          }
          default:
            bytes.append(random() % 3000, static_cast<char>(random()));
        }
      }
    }
    write_all(scratch.path, bytes);
    Texts expected;
    {
      StateFile file(scratch.path);
      expected = texts_of(file);
      put(file, "new", "text");
      put(file, "new", "other");
      expected["new"] = "other";
      if (expected.count("1") != 0) {
        put(file, "1", "");
        expected.erase("1");
      }
    }
    REQUIRE(texts_in(scratch.path) == expected);
  }
}

TEST_CASE("killed at any moment, each key has its new text or the one before") {
  const Scratch scratch;
  std::mt19937 random(3);
  // The child counts up: key i holds "N" repeated, and reports N through a pipe before and after.
  std::uint64_t confirmed = 0;
  int kills = 0;
  for (int round = 0; round < 120; ++round) {
    int report[2];
    REQUIRE(::pipe2(report, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      StateFile file(scratch.path);
      for (std::uint64_t n = confirmed + 1;; ++n) {
        const std::string number = std::to_string(n) + ".";
        std::string text;
        while (text.size() < n % 5 * 1500 + 10) text += number;
        if (file.put("counter", text, false)) ::_exit(1);
        if (::write(report[1], &n, sizeof n) != sizeof n) ::_exit(2);
      }
    }
    ::close(report[1]);
    // Kill after a random number of confirmed changes: the child is somewhere behind the last one.
    std::uint64_t n = 0;
    const unsigned changes = 1 + static_cast<unsigned>(random() % 40);
    for (unsigned i = 0; i < changes; ++i) {
      if (::read(report[0], &n, sizeof n) != sizeof n) break;
      confirmed = n;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    ++kills;
    while (::read(report[0], &n, sizeof n) == sizeof n) confirmed = n;
    ::close(report[0]);
    const Texts found = texts_in(scratch.path);
    REQUIRE(found.count("counter") == 1);
    const std::string& text = found.at("counter");
    const std::uint64_t value = std::stoull(text);
    // Never older than what was confirmed, at most one newer, and not a mixture.
    REQUIRE(value >= confirmed);
    REQUIRE(value <= confirmed + 1);
    const std::string number = std::to_string(value) + ".";
    for (std::size_t at = 0; at < text.size(); at += number.size()) {
      REQUIRE(text.compare(at, number.size(), number) == 0);
    }
    confirmed = value;
  }
  CHECK(kills == 120);
}

TEST_CASE("a place that cannot be opened is an error at once") {
  CHECK_THROWS_AS(StateFile("/nowhere/at/all"), std::system_error);
}

TEST_CASE("the host's key is made once and kept") {
  const Scratch scratch;
  const HostKey made = host_key(scratch.directory);
  CHECK(made.fresh);
  CHECK(made.id.size() == 16);
  CHECK((made.key.k0 != 0 || made.key.k1 != 0));
  const HostKey again = host_key(scratch.directory);
  CHECK_FALSE(again.fresh);
  CHECK(again.key == made.key);
  CHECK(again.id == made.id);
  struct stat status {};
  REQUIRE(::stat((scratch.directory + "/host.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK_FALSE(std::filesystem::exists(scratch.directory + "/host.key.new"));

  const Scratch other;
  write_all(other.directory + "/host.key.new", "half");  // Somebody was killed here.
  CHECK(host_key(other.directory).key != made.key);

  write_all(scratch.directory + "/host.key", "short");
  CHECK_THROWS_WITH_AS(host_key(scratch.directory), doctest::Contains("not a host key"),
                       std::runtime_error);
  CHECK_THROWS_AS(host_key("/nowhere/at/all"), std::system_error);
}
