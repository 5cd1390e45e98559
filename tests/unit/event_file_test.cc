#include "brain/event_file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "core/protocol.h"

using namespace supv;

namespace {

struct Scratch {
  Scratch() {
    std::string name = "/tmp/supv-events-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    path = directory + "/events.jsonl";
  }
  ~Scratch() { std::filesystem::remove_all(directory); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string directory;
  std::string path;
};

fx::Note note(const std::string& watch, const std::string& reason) {
  fx::Note made;
  made.watch = watch;
  made.from = "up";
  made.to = "stopping";
  made.reason = reason;
  return made;
}

bool everybody(std::string_view) { return true; }

std::vector<std::string> reasons(const EventFile& file, std::size_t count,
                                 const std::function<bool(std::string_view)>& wanted = everybody) {
  std::vector<std::string> list;
  for (const std::string& line : file.last(count, wanted)) {
    list.push_back(protocol::parse_history(line)->note.reason);
  }
  return list;
}

}  // namespace

TEST_CASE("the newest lines, oldest first, of the watches that are wanted") {
  const Scratch scratch;
  EventFile file(scratch.directory);
  for (int i = 0; i < 10; ++i) {
    const std::string line = file.append(note(i % 2 == 0 ? "web" : "job", std::to_string(i)), i);
    CHECK(protocol::parse_history(line)->wall_ms == i);
  }
  CHECK(reasons(file, 3) == std::vector<std::string>{"7", "8", "9"});
  const auto web = [](std::string_view watch) { return watch == "web"; };
  CHECK(reasons(file, 2, web) == std::vector<std::string>{"6", "8"});
  CHECK(reasons(file, 100).size() == 10);
  CHECK(reasons(file, 0).empty());
  const EventFile again(scratch.directory);
  CHECK(reasons(again, 1) == std::vector<std::string>{"9"});
}

TEST_CASE("it is moved aside when full, and history reaches back into it") {
  const Scratch scratch;
  EventFile file(scratch.directory, 4096);
  for (int i = 0; i < 100; ++i) file.append(note("w", std::to_string(i)), i);
  CHECK(std::filesystem::file_size(scratch.path) <= 4096);
  CHECK(std::filesystem::file_size(scratch.path + ".1") <= 4096);
  const auto all = reasons(file, 1000);
  REQUIRE(all.size() > 20);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i] == std::to_string(100 - all.size() + i));
  }
  CHECK(file.dropped() == 0);
}

TEST_CASE("a line that was torn neither counts nor swallows the next one") {
  const Scratch scratch;
  {
    EventFile file(scratch.directory);
    file.append(note("w", "whole"), 1);
  }
  std::ofstream(scratch.path, std::ios::app) << R"({"at":"2026-01-02T03:0)";
  EventFile file(scratch.directory);
  file.append(note("w", "next"), 2);
  CHECK(reasons(file, 10) == std::vector<std::string>{"whole", "next"});
}

TEST_CASE("a full disk drops and counts, and says so when there is room again") {
  const Scratch scratch;
  EventFile file(scratch.directory);
  file.append(note("w", "first"), 1);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  // Room for half a line.
  const rlimit full{std::filesystem::file_size(scratch.path) + 50, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  for (int i = 0; i < 3; ++i) file.append(note("w", "lost"), 2);
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK(file.dropped() == 3);
  file.append(note("w", "last"), 3);
  CHECK(
      reasons(file, 10) ==
      std::vector<std::string>{"first", "3 events could not be recorded before this one", "last"});
  CHECK(file.dropped() == 3);
}

TEST_CASE("a directory that is not there drops everything and harms nobody") {
  EventFile file("/nowhere/at/all");
  CHECK_FALSE(file.append(note("w", "x"), 1).empty());
  CHECK(file.dropped() == 1);
  CHECK(file.last(10, everybody).empty());
}

TEST_CASE("garbage in the file is skipped") {
  const Scratch scratch;
  std::string garbage;
  for (int i = 0; i < 5000; ++i) garbage += static_cast<char>(i * 7919 >> 3);
  std::ofstream(scratch.path, std::ios::binary) << garbage << "\n\n\n{}\n[1]\n";
  EventFile file(scratch.directory);
  file.append(note("w", "here"), 1);
  CHECK(reasons(file, 10) == std::vector<std::string>{"here"});
}
