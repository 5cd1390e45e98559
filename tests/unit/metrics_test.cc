#include "plugin/metrics.h"

#include <doctest/doctest.h>

using namespace supv;

namespace {

std::vector<Metric> read(const std::string& text) {
  std::string error;
  auto metrics = parse_metrics(text, error);
  CAPTURE(text);
  CAPTURE(error);
  CHECK(error.empty());
  return metrics;
}

std::string error_of(const std::string& text) {
  std::string error;
  parse_metrics(text, error);
  return error;
}

}  // namespace

TEST_CASE("what a plugin of Debian's monitoring-plugins prints") {
  const auto disk = read("/=8124MB;16035;18039;0;20044 /boot=91MB;;;0;");
  REQUIRE(disk.size() == 2);
  CHECK(disk[0].label == "/");
  CHECK(disk[0].value == 8124.0);
  CHECK(disk[0].unit == "MB");
  CHECK(disk[0].warn == "16035");
  CHECK(disk[0].crit == "18039");
  CHECK(disk[0].min == 0.0);
  CHECK(disk[0].max == 20044.0);
  CHECK(disk[1].warn.empty());
  CHECK(disk[1].min == 0.0);
  CHECK_FALSE(disk[1].max.has_value());
  const auto http = read("time=0.004512s;;;0.000000;10.000000 size=412B;;;0");
  REQUIRE(http.size() == 2);
  CHECK(http[0].unit == "s");
  CHECK(http[1].value == 412.0);
}

TEST_CASE("labels in quotes, ranges, unknown values, signs and exponents") {
  const auto all = read("'free space'=12.5%;10:20;@~:5;0;100 'it''s'=U load=-1.5e-3 up=+3c");
  REQUIRE(all.size() == 4);
  CHECK(all[0].label == "free space");
  CHECK(all[0].unit == "%");
  CHECK(all[0].warn == "10:20");
  CHECK(all[0].crit == "@~:5");
  CHECK(all[1].label == "it's");
  CHECK_FALSE(all[1].value.has_value());
  CHECK(all[2].value == -0.0015);
  CHECK(all[3].value == 3.0);
  CHECK(all[3].unit == "c");
}

TEST_CASE("blanks between, before and after") {
  CHECK(read("").empty());
  CHECK(read("  \t ").empty());
  CHECK(read(" a=1   b=2\tc=3\n").size() == 3);
}

TEST_CASE("what cannot be read is said and left out") {
  for (const char* bad :
       {"=5", "load", "load=", "load=many", "load=1 5", "load=1;x", "load=1;1:x", "load=1;;;low",
        "load=1;;;;;6", "'open=1", "''=1", "load=inf", "a=1,5", "a=0x10", "a=nan"}) {
    CAPTURE(bad);
    CHECK_FALSE(error_of(bad).empty());
  }
  std::string error;
  const auto rest = parse_metrics("first=1 second=bad third=3", error);
  REQUIRE(rest.size() == 2);
  CHECK(rest[1].label == "third");
  CHECK(error.find("second=bad") != std::string::npos);
}

TEST_CASE("bytes of any kind do no harm") {
  std::string text;
  for (int seed = 1; seed < 20000; ++seed) {
    text.clear();
    auto number = static_cast<unsigned>(seed);
    for (int i = 0; i < 24; ++i) {
      number = number * 1103515245u + 12345u;
      text += "ab='; \n:@~-+.e09%U\xff"[(number >> 16) % 20];
    }
    std::string error;
    for (const Metric& metric : parse_metrics(text, error)) CHECK_FALSE(metric.label.empty());
  }
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "m" + std::to_string(i) + "=1 ";
  CHECK_FALSE(error_of(many).empty());
}
