#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "../lib/child.h"
#include "../lib/condition_bench.h"

using namespace supv;
using supv::test::TempDirectory;
using supv::test::WaitingCondition;

namespace {

void write(const std::string& path, const std::string& text, bool append = true) {
  std::ofstream(path, append ? std::ios::app : std::ios::trunc) << text;
}

void set_mtime(const std::string& path, std::int64_t seconds, long nanoseconds = 0) {
  const timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

std::string refused(std::string_view name, std::map<std::string, std::string> options) {
  return WaitingCondition(name, std::move(options)).error;
}

}  // namespace

TEST_CASE("disk_usage counts as df does and names the mount") {
  struct statvfs disk {};
  REQUIRE(::statvfs("/tmp", &disk) == 0);
  const auto used = disk.f_blocks - disk.f_bfree;
  const auto percent = (used * 100 + used + disk.f_bavail - 1) / (used + disk.f_bavail);
  REQUIRE(percent < 100);

  WaitingCondition full("disk_usage", {{"mount_point", "/tmp"}, {"above", "0"}});
  if (percent > 0) {
    CHECK(full.poll() == SUPV_FIRE);
    CHECK(full.reason.find(", above 0%") != std::string::npos);
    CHECK(full.reason.find(std::to_string(percent) + "% of /") == 0);
  }
  WaitingCondition roomy("disk_usage", {{"mount_point", "/tmp"}, {"above", "99.5"}});
  CHECK(roomy.poll() == SUPV_OK);

  // A path in a file system is answered for its mount, and the mount is said.
  WaitingCondition inside("disk_usage", {{"mount_point", "/dev/shm/"}, {"above", "99"}});
  if (inside.poll() == SUPV_OK) CHECK(inside.reason.ends_with(" of /dev/shm"));
}

TEST_CASE("disk_usage does not know what it cannot see") {
  WaitingCondition gone("disk_usage", {{"mount_point", "/no/such"}, {"above", "1"}});
  CHECK(gone.poll() == SUPV_UNKNOWN);
  CHECK(gone.reason == "/no/such: No such file or directory");
  WaitingCondition sizeless("disk_usage", {{"mount_point", "/proc"}, {"above", "1"}});
  CHECK(sizeless.poll() == SUPV_UNKNOWN);
  CHECK(sizeless.reason == "/proc: its file system has no size");
  CHECK(refused("disk_usage", {{"mount_point", ""}, {"above", "1"}}) == "mount_point is empty");
  CHECK(refused("disk_usage", {{"mount_point", "/"}, {"above", "100"}}) ==
        "above: nothing can be above 100%");
}

TEST_CASE("file_mtime compares the age of the last change") {
  const TempDirectory directory;
  const std::string file = directory / "beat";
  write(file, "x");
  set_mtime(file, 1'000'000);
  WaitingCondition beat("file_mtime", {{"path", file}, {"max_age", "60000"}});
  CHECK(beat.poll(1'000'060) == SUPV_OK);
  CHECK(beat.reason == "changed 1m ago");
  CHECK(beat.poll(1'000'061) == SUPV_FIRE);
  CHECK(beat.reason == "changed 1m1s ago, above 1m");
  CHECK(beat.poll(999'000) == SUPV_OK);  // A file server whose clock is ahead.
  ::unlink(file.c_str());
  CHECK(beat.poll(2'000'000) == SUPV_UNKNOWN);
  CHECK(beat.reason == file + ": No such file or directory");

  WaitingCondition relative(
      "file_mtime", {{"path", "beat"}, {"max_age", "1000"}, {"watch.dir", directory.path()}});
  write(file, "x");
  CHECK(relative.poll(0) == SUPV_OK);
  CHECK(refused("file_mtime", {{"path", ""}, {"max_age", "1"}}) == "path is empty");
  CHECK(refused("file_mtime", {{"path", "x"}, {"max_age", "soon"}}) ==
        "max_age: not a number: 'soon'");
}

TEST_CASE("file_touched neither misses a touch nor counts one twice") {
  const TempDirectory directory;
  const std::string file = directory / "restart.txt";
  WaitingCondition touched("file_touched", {{"path", file}});
  CHECK(touched.poll() == SUPV_OK);  // The baseline: not there.
  write(file, "");
  set_mtime(file, 5);
  CHECK(touched.poll() == SUPV_FIRE);
  CHECK(touched.reason == file + " was created");
  CHECK(touched.poll() == SUPV_OK);
  set_mtime(file, 5, 1);
  CHECK(touched.poll() == SUPV_FIRE);
  CHECK(touched.reason == file + " was touched");
  CHECK(touched.poll() == SUPV_OK);
  set_mtime(file, 2);  // Backwards is a touch as well.
  CHECK(touched.poll() == SUPV_FIRE);
  ::unlink(file.c_str());
  CHECK(touched.poll() == SUPV_OK);
  write(file, "");
  set_mtime(file, 2);
  CHECK(touched.poll() == SUPV_FIRE);

  // What was there before the baseline is no touch; what cannot be looked at loses nothing.
  WaitingCondition later("file_touched", {{"path", file}});
  CHECK(later.poll() == SUPV_OK);
  const std::string loop = directory / "loop";
  REQUIRE(::symlink("loop", loop.c_str()) == 0);
  WaitingCondition looping("file_touched", {{"path", loop}});
  CHECK(looping.poll() == SUPV_UNKNOWN);
  CHECK(looping.reason == loop + ": Too many levels of symbolic links");
  CHECK(refused("file_touched", {{"path", ""}}) == "path is empty");
}

TEST_CASE("log_match tells of lines written after its first look") {
  const TempDirectory directory;
  const std::string log = directory / "app.log";
  write(log, "FATAL before\n");
  WaitingCondition match("log_match", {{"path", log}, {"pattern", "FATAL|panic"}});
  CHECK(match.poll() == SUPV_OK);
  CHECK(match.poll() == SUPV_OK);
  CHECK(match.reason == "no new lines");
  write(log, "all is well\n");
  CHECK(match.poll() == SUPV_OK);
  CHECK(match.reason == "no match in 1 new lines");
  write(log, "a FATAL one\nfine\npanic again\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "a FATAL one (and 1 more)");
  CHECK(match.poll() == SUPV_OK);
  // Half a line is none yet.
  write(log, "FAT");
  CHECK(match.poll() == SUPV_OK);
  write(log, "AL half\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "FATAL half");
}

TEST_CASE("log_match follows rotation, truncation and removal") {
  const TempDirectory directory;
  const std::string log = directory / "app.log";
  WaitingCondition match("log_match", {{"path", log}, {"pattern", "bad"}});
  CHECK(match.poll() == SUPV_UNKNOWN);
  CHECK(match.reason == log + ": No such file or directory");
  write(log, "bad 1\n");  // A log that comes later was written after the first look.
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "bad 1");
  // The end of the old one and the beginning of the new one, once each.
  write(log, "bad 2\n");
  std::filesystem::rename(log, log + ".1");
  write(log, "bad 3\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "bad 2 (and 1 more)");
  CHECK(match.poll() == SUPV_OK);
  write(log, "bad\n", false);  // Truncated and shorter than before.
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "bad");
  write(log, "bad last\n");
  std::filesystem::remove(log);
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.poll() == SUPV_UNKNOWN);
  write(log, "good\n");
  CHECK(match.poll() == SUPV_OK);
}

TEST_CASE("log_match reads the watch's own logs without a path") {
  const TempDirectory directory;
  const std::string out = directory / "web.log";
  const std::string err = directory / "web.err";
  write(out, "");
  write(err, "");
  WaitingCondition match("log_match", {{"pattern", "^E"}, {"watch.log", out + "\n" + err}});
  CHECK(match.poll() == SUPV_OK);
  write(err, "E: it\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "E: it");
  WaitingCondition none("log_match", {{"pattern", "E"}});
  CHECK(none.poll() == SUPV_UNKNOWN);
  CHECK(none.reason == "the watch has no log");
}

TEST_CASE("log_match takes lines of any kind") {
  const TempDirectory directory;
  const std::string log = directory / "app.log";
  write(log, "");
  WaitingCondition match("log_match", {{"path", log}, {"pattern", "needle"}});
  CHECK(match.poll() == SUPV_OK);
  // Beyond the first 8 KiB nothing is looked for, and the line counts once.
  write(log, std::string(9000, 'x') + "needle\n");
  CHECK(match.poll() == SUPV_OK);
  write(log, std::string(8000, 'x') + "needle" + std::string(50000, 'y') + "needle\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == std::string(200, 'x') + "...");
  write(log, std::string("a\0needle\xff\n", 10));
  CHECK(match.poll() == SUPV_FIRE);
  // 199 bytes and a character of two: it is not cut in half.
  write(log, "needle" + std::string(193, 'x') + "\xc3\xa4\xc3\xa4\n");
  CHECK(match.poll() == SUPV_FIRE);
  CHECK(match.reason == "needle" + std::string(193, 'x') + "...");
}

TEST_CASE("log_match is not held up by a FIFO, nor eats from it") {
  const TempDirectory directory;
  const std::string fifo = directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  WaitingCondition match("log_match", {{"path", fifo}, {"pattern", "x"}});
  CHECK(match.poll() == SUPV_UNKNOWN);
  CHECK(match.reason == fifo + " is not a regular file");
}

TEST_CASE("log_match refuses patterns that are wrong or would blow up") {
  const auto why = [](const std::string& pattern) {
    return refused("log_match", {{"pattern", pattern}, {"path", "/x"}});
  };
  CHECK(why("a(b|c)*[^]{}]{2,3}\\(x") == "");
  CHECK(why("[0-9]{1,3}\\.[0-9]{1,3} [[:alpha:]]{8}-[0-9a-f]{4}-[0-9a-f]{12}") == "");
  CHECK(why("") == "pattern: it is empty");
  CHECK(why("(a") == "pattern: Unmatched ( or \\(");
  CHECK(why("[a") == "pattern: Unmatched [, [^, [:, [., or [=");
  CHECK(why("(a)\\1") == "pattern: back-references are not supported");
  CHECK(why("((((a{200}){200}){200}){200})") == "pattern: it repeats too much");
  CHECK(why("(([[:alpha:]]x){99,100}){100}") == "pattern: it repeats too much");
  CHECK(why(std::string(1025, 'a')) == "pattern: it is longer than 1024 bytes");
  CHECK(refused("log_match", {{"pattern", "a"}, {"path", ""}}) == "path is empty");
}

TEST_CASE("log_match stays cheap with a pattern of exponentially many states") {
  const TempDirectory directory;
  const std::string log = directory / "app.log";
  write(log, "");
  WaitingCondition match("log_match", {{"path", log}, {"pattern", "(a|b)*a(a|b){30}c"}});
  CHECK(match.poll() == SUPV_OK);
  std::string text;
  std::uint32_t random = 1;
  while (text.size() < 100'000) {
    random = random * 1664525 + 1013904223;
    text += (random >> 31) != 0 ? 'a' : 'b';
    if (text.size() % 8000 == 0) text += '\n';
  }
  write(log, text + "\n");
  const auto begin = std::chrono::steady_clock::now();
  CHECK(match.poll() == SUPV_OK);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  CHECK(pages * 4 < 200 * 1024);
  // The usual mistake: nothing is gone through from each of its bytes again.
  WaitingCondition usual("log_match", {{"path", log}, {"pattern", ".*x.*y.*z"}});
  CHECK(usual.poll() == SUPV_OK);
  write(log, text + text + text + "\n");
  const auto again = std::chrono::steady_clock::now();
  CHECK(usual.poll() == SUPV_OK);
  CHECK(std::chrono::steady_clock::now() - again < std::chrono::seconds(1));
}
