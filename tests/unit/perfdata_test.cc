#include "base/perfdata.h"

#include <doctest/doctest.h>

using namespace supv;

namespace {

std::vector<Metric> read(const std::string& text) {
  std::string error;
  auto metrics = parse_perfdata(text, &error);
  CAPTURE(text);
  CAPTURE(error);
  CHECK(error.empty());
  return metrics;
}

std::string error_of(const std::string& text) {
  std::string error;
  parse_perfdata(text, &error);
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
  struct Row {
    const char* text;
    std::vector<std::string> labels;  // Of what is read all the same.
  };
  const Row rows[] = {
      // No label, or no value: the whole metric.
      {"=5", {}},
      {"load", {}},
      {"load=", {}},
      {"load=many", {}},
      {"'open=1", {}},
      {"'open=1 b=2", {"b"}},
      {"''=1", {}},
      {"load=inf", {}},
      {"a=nan", {}},
      {"a=0x10", {}},
      {"a=1,5", {}},
      {"a=1, b=2", {"b"}},
      {"a=+-1", {}},
      {"a=1-2", {}},
      {"a = 1", {}},
      {"load=1 5", {"load"}},
      {"free space=5", {"space"}},
      {"first=1 second=bad third=3", {"first", "third"}},
      // The rest is of use without the field.
      {"load=1;x", {"load"}},
      {"load=1;1:x", {"load"}},
      {"load=1;:", {"load"}},
      {"load=1;;;low", {"load"}},
      {"load=1;;;0;100;6", {"load"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    std::vector<std::string> labels;
    for (const Metric& metric : parse_perfdata(row.text)) labels.push_back(metric.label);
    CHECK(labels == row.labels);
    CHECK_FALSE(error_of(row.text).empty());
  }
  CHECK(error_of("first=1 second=bad third=worse").find("second=bad") != std::string::npos);
}

TEST_CASE("a field that cannot be read costs nothing but itself") {
  const auto metrics = parse_perfdata("/=73%;80%;10:90;zero;100 /boot=1,5MB;1;2;0;9 /tmp=3%;;;;");
  REQUIRE(metrics.size() == 2);
  CHECK(metrics[0] == Metric{"/", 73.0, "%", "", "10:90", std::nullopt, 100.0});
  CHECK(metrics[1] == Metric{"/tmp", 3.0, "%", "", "", std::nullopt, std::nullopt});
}

TEST_CASE("labels and units are fit for a terminal") {
  const auto metrics = parse_perfdata(
      "'\x1b[31m \xff'=1 temp=20\xc2\xb0"
      "C x=1\xff");
  REQUIRE(metrics.size() == 3);
  CHECK(metrics[0].label == "\\x1B[31m \\xFF");
  CHECK(metrics[1].unit ==
        "\xc2\xb0"
        "C");
  CHECK(metrics[2].unit == "\\xFF");
}

TEST_CASE("for people") {
  const std::pair<const char*, const char*> rows[] = {
      {"/=73%;80;90", "/=73%"},
      {"rss=120MB", "rss=120 MB"},
      {"rss=125829120B", "rss=120MiB"},
      {"grown=-1B", "grown=-1 B"},
      {"'free space'=1610612736B", "'free space'=1.5GiB"},
      {"time=0.004512s", "time=0.004512 s"},
      {"load1=6.740;5;10;0", "load1=6.74"},
      {"up=1234567c", "up=1234567"},
      {"rate=1234567.891", "rate=1234567.9"},
      {"tiny=0.00000015", "tiny=1.5e-07"},
      {"huge=1e300", "huge=1e+300"},
      {"zero=-0", "zero=0"},
      {"queue=U", "queue=?"},
  };
  for (const auto& [text, shown] : rows) {
    CAPTURE(text);
    const auto metrics = read(text);
    REQUIRE(metrics.size() == 1);
    CHECK(metric_text(metrics[0]) == shown);
  }
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
    for (const Metric& metric : parse_perfdata(text, &error)) CHECK_FALSE(metric.label.empty());
  }
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "m" + std::to_string(i) + "=1 ";
  CHECK_FALSE(error_of(many).empty());
  CHECK(parse_perfdata(many).size() == kMostMetrics);
}
