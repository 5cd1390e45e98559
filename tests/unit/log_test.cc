#include "brain/log.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace supv;

namespace {

struct Scratch {
  Scratch() {
    std::string name = "/tmp/supv-log-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    path = directory + "/log";
  }
  ~Scratch() { std::filesystem::remove_all(directory); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string directory;
  std::string path;
};

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// stderr is this descriptor while it exists.
struct Stderr {
  explicit Stderr(int fd) : before(::dup(2)) { ::dup2(fd, 2); }
  ~Stderr() { ::dup2(before.get(), 2); }
  Stderr(const Stderr&) = delete;
  Stderr& operator=(const Stderr&) = delete;
  Fd before;
};

}  // namespace

TEST_CASE("lines have time and level, and only what the level asks for") {
  const Scratch scratch;
  Log log;
  REQUIRE(log.open(scratch.path));
  log.debug("no {}", 1);
  log.info("hello {}", "world");
  log.set_level(LogLevel::error);
  log.warn("no");
  log.error("{} of {}", 1, 2);
  const std::string text = read_all(scratch.path);
  CHECK(text.size() == 2 * (std::string("2026-01-02T03:04:05Z ").size()) +
                           std::string("info: hello world\nerror: 1 of 2\n").size());
  CHECK(text.find("Z info: hello world\n") != std::string::npos);
  CHECK(text.find("Z error: 1 of 2\n") != std::string::npos);
}

TEST_CASE("untrusted bytes stay on one line, as text and as JSON") {
  const Scratch scratch;
  Log log;
  REQUIRE(log.open(scratch.path));
  const std::string evil = "a\n\x1b[31m\"quoted\\\" \xff ü \xe2\x80\xae";
  log.write(LogLevel::info, evil);
  log.set_format(LogFormat::json);
  log.write(LogLevel::warn, evil);
  log.write(LogLevel::warn, std::string(100000, '"'));
  std::ifstream file(scratch.path);
  std::string line;
  REQUIRE(std::getline(file, line));
  CHECK(line.find('\x1b') == std::string::npos);
  CHECK(line.find("a\\n\\x1B[31m\"quoted") != std::string::npos);
  for (int i = 0; i < 2; ++i) {
    REQUIRE(std::getline(file, line));
    CHECK(line.size() < 4096);
    const auto json = nlohmann::json::parse(line);
    CHECK(json["level"] == "warn");
    CHECK(json["text"].get<std::string>().find('"') != std::string::npos);
  }
  CHECK_FALSE(std::getline(file, line));
}

TEST_CASE("reopening follows a rotation and survives a place that is gone") {
  const Scratch scratch;
  Log log;
  REQUIRE(log.open(scratch.path));
  log.info("one");
  std::filesystem::rename(scratch.path, scratch.path + ".1");
  log.info("two");
  REQUIRE(log.reopen());
  log.info("three");
  CHECK(read_all(scratch.path + ".1").find("two") != std::string::npos);
  CHECK(read_all(scratch.path).find("three") != std::string::npos);
  CHECK_FALSE(log.open("/nowhere/at/all"));
  log.info("four");
  CHECK(read_all(scratch.path).find("four") != std::string::npos);
  CHECK(log.dropped() == 0);
}

TEST_CASE("the journal gets priorities instead of times") {
  const Scratch scratch;
  const Fd file(::open(scratch.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct stat status {};
  REQUIRE(::fstat(file.get(), &status) == 0);
  ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
  {
    const Stderr redirected(file.get());
    Log log;
    log.error("broken");
  }
  ::setenv("JOURNAL_STREAM", "1:1", 1);
  {
    const Stderr redirected(file.get());
    Log log;
    log.error("other");
  }
  ::unsetenv("JOURNAL_STREAM");
  const std::string text = read_all(scratch.path);
  CHECK(text.rfind("<3>broken\n", 0) == 0);
  CHECK(text.find("Z error: other\n") != std::string::npos);
}

TEST_CASE("a stderr that nobody reads is never waited for") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd read_end(ends[0]);
  const Fd write_end(ends[1]);
  std::uint64_t dropped = 0;
  {
    const Stderr redirected(write_end.get());
    Log log;
    for (int i = 0; i < 1000; ++i) log.info("{:1000}", i);
    dropped = log.dropped();
  }
  CHECK(dropped > 0);
  CHECK(dropped < 1000);
}
