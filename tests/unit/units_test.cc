#include "base/units.h"

#include <doctest/doctest.h>

#include <csignal>
#include <limits>
#include <string>

using namespace supv;

TEST_CASE("durations are read with their units") {
  struct Row {
    const char* text;
    std::int64_t ms;
  };
  for (const Row& row : {Row{"500ms", 500}, Row{"5s", 5000}, Row{"2m", 120000},
                         Row{"1h30m", 5400000}, Row{"2d", 172800000}, Row{"0", 0}, Row{"0s", 0},
                         Row{"1d2h3m4s5ms", 93784005}, Row{"36500d", 3153600000000}}) {
    CAPTURE(row.text);
    REQUIRE(parse_duration(row.text));
    CHECK(parse_duration(row.text)->count() == row.ms);
  }
  for (const char* text :
       {"", "5", "s", "-5s", "+5s", "5 s", " 5s", "5s ", "5S", "1.5s", "30m1h", "1s1s", "5sec",
        "36501d", "99999999999999999999s", "9223372036854775807ms", "1h30"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("durations are written in their shortest exact form and read back") {
  CHECK(format_duration(Duration{0}) == "0s");
  CHECK(format_duration(Duration{250}) == "250ms");
  CHECK(format_duration(Duration{5400000}) == "1h30m");
  CHECK(format_duration(Duration{-1500}) == "-1s500ms");
  CHECK(format_duration(Duration::min()).front() == '-');
  std::int64_t ms = 1;
  for (int i = 0; i < 40; ++i, ms = ms * 2 + i) {
    if (ms > 3153600000000) break;
    CHECK(parse_duration(format_duration(Duration{ms})) == Duration{ms});
  }
}

TEST_CASE("sizes") {
  CHECK(parse_size("4096") == 4096u);
  CHECK(parse_size("300MB") == 300u << 20);
  CHECK(parse_size("300M") == 300u << 20);
  CHECK(parse_size("300MiB") == 300u << 20);
  CHECK(parse_size("1.5GiB") == 1610612736u);
  CHECK(parse_size("1k") == 1024u);
  CHECK(parse_size("17B") == 17u);
  CHECK(parse_size("2T") == std::uint64_t{2} << 40);
  CHECK(parse_size("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", "MB", "1.5", "1.B", ".5M", "-1M", "1 MB", "1Mi B", "1Mi", "1X",
                           "1MBB", "18446744073709551616", "17179869184G", "1.1234567M"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
  CHECK(format_size(17) == "17B");
  CHECK(format_size(0) == "0B");
  CHECK(format_size(1023) == "1023B");
  CHECK(format_size(12 << 10) == "12KiB");
  CHECK(format_size(300u << 20) == "300MiB");
  CHECK(format_size(1610612736) == "1.5GiB");
  CHECK(format_size((1u << 20) - 1) == "1MiB");
  CHECK(format_size(std::numeric_limits<std::uint64_t>::max()) == "16EiB");
}

TEST_CASE("percentages") {
  CHECK(parse_percent("50%") == 50.0);
  CHECK(parse_percent("0.5%") == 0.5);
  CHECK(parse_percent("250%") == 250.0);
  for (const char* text :
       {"", "%", "50", "-5%", "5.%", ".5%", "1e3%", "nan%", "inf%", "5 %", "0x1%"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_percent(text));
  }
}

TEST_CASE("signals by name and number") {
  CHECK(parse_signal("TERM") == SIGTERM);
  CHECK(parse_signal("SIGTERM") == SIGTERM);
  CHECK(parse_signal("15") == 15);
  CHECK(parse_signal("RTMIN+3") == SIGRTMIN + 3);
  CHECK(parse_signal("SIGRTMAX") == SIGRTMAX);
  for (const char* text : {"", "SIG", "term", "0", "65", "-9", "TERMINATE", "RTMIN-1", "RTMAX+1",
                           "RTMIN+99", "SIGSIGTERM"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_signal(text));
  }
  CHECK(signal_name(SIGKILL) == "KILL");
  CHECK(signal_name(SIGCHLD) == "CHLD");
  CHECK(signal_name(42) == "SIG42");
  for (int signal = 1; signal <= 64; ++signal) CHECK(parse_signal(signal_name(signal)) == signal);
  for (const auto name : signal_names()) CHECK(parse_signal(name));
}

TEST_CASE("numbers are strict") {
  CHECK(parse_unsigned("0") == 0u);
  CHECK(parse_unsigned("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
  for (const char* text :
       {"", "-1", "+1", " 1", "1 ", "1x", "18446744073709551616", "1_0", "0x1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_unsigned(text));
  }
  CHECK(parse_octal("0022") == 022u);
  CHECK(parse_octal("7777") == 07777u);
  for (const char* text : {"", "8", "10000", "-1", "0o22", "77777777777777777"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_octal(text));
  }
}

TEST_CASE("times are RFC 3339 in UTC") {
  CHECK(format_time(1767322985000) == "2026-01-02T03:03:05Z");
  CHECK(format_time(0) == "1970-01-01T00:00:00Z");
  CHECK(format_time(-1) == "1969-12-31T23:59:59Z");
  CHECK(format_time(999) == "1970-01-01T00:00:00Z");
}
