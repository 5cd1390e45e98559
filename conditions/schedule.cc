#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <supv/condition.hpp>

namespace {

using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"cron", SUPV_TEXT, nullptr,
     "Minute, hour, day of month, month, day of week: numbers, names (jan, mon), lists (1,15), "
     "ranges (mon-fri), steps (*/10); a day matches either of the two day fields when both are "
     "given. Or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.",
     1, nullptr},
    {"timezone", SUPV_TEXT, nullptr, "Such as Europe/Berlin; the machine's own unless written.", 0,
     nullptr},
};

/// Minutes since 1970 as a clock on the wall counts them: they leap forward and repeat.
using Minute = std::int64_t;
constexpr Minute kDay = 24 * 60;

/// One of the five fields.
struct Field {
  const char* name;
  int low;
  int high;
  std::vector<const char*> words;  // Names of low, low + 1, ...
};

const std::array<Field, 5>& fields() {
  static const std::array<Field, 5> kFields = {{
      {"minute", 0, 59, {}},
      {"hour", 0, 23, {}},
      {"day of month", 1, 31, {}},
      {"month",
       1,
       12,
       {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {"day of week", 0, 7, {"sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"}},
  }};
  return kFields;
}

using Set = std::bitset<64>;

[[noreturn]] void refuse(const Field& field, const std::string& text) {
  throw std::invalid_argument("cron: not a " + std::string(field.name) + " from " +
                              std::to_string(field.low) + " to " + std::to_string(field.high) +
                              ": '" + text + "'");
}

int parse_value(const Field& field, const std::string& text) {
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (std::size_t i = 0; i < field.words.size(); ++i) {
    if (lower == field.words[i]) return field.low + static_cast<int>(i);
  }
  if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos)
    refuse(field, text);
  const int value = std::atoi(text.c_str());
  if (value < field.low || value > field.high) refuse(field, text);
  return value;
}

/// A, A-B, *, each with /STEP.
void parse_part(const Field& field, const std::string& part, Set& set) {
  const std::size_t slash = part.find('/');
  const std::string range = part.substr(0, slash);
  const std::size_t dash = range.find('-');
  int first = field.low;
  int last = field.high;
  int step = 1;
  if (slash != std::string::npos) {
    const std::string text = part.substr(slash + 1);
    const bool digits = !text.empty() && text.size() <= 4 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    step = digits ? std::atoi(text.c_str()) : 0;
    if (step < 1) refuse(field, part);
  }
  if (range != "*") {
    first = parse_value(field, range.substr(0, dash));
    last = dash != std::string::npos    ? parse_value(field, range.substr(dash + 1))
           : slash != std::string::npos ? field.high
                                        : first;
    // sat-sun: Sunday is also 7.
    if (last == 0 && first > 0 && field.high == 7) last = 7;
  }
  if (last < first) refuse(field, part);
  for (int value = first; value <= last; value += step) set.set(static_cast<std::size_t>(value));
}

/// When it is due, on the wall's clock.
class Cron {
 public:
  explicit Cron(const std::string& text) {
    std::array<std::string, 5> parts = split(expand(text), text);
    std::array<Set, 5> sets;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      std::istringstream list(parts[i]);
      for (std::string part; std::getline(list, part, ',');) {
        parse_part(fields()[i], part, sets[i]);
      }
      if (sets[i].none() || parts[i].back() == ',') refuse(fields()[i], parts[i]);
    }
    minutes_ = sets[0];
    hours_ = sets[1];
    days_ = sets[2];
    months_ = sets[3];
    weekdays_ = sets[4];
    if (weekdays_.test(7)) weekdays_.set(0);
    either_ = parts[2].front() != '*' && parts[4].front() != '*';
    if (!next(0)) throw std::invalid_argument("cron: there is no such day: '" + text + "'");
  }

  /// The first minute after `after`; none within eight years: never.
  std::optional<Minute> next(Minute after) const {
    const Minute first = after + 1;
    constexpr Minute kLongest = 8 * 366 + 1;
    for (Minute day = floor_day(first); day < floor_day(first) + kLongest; ++day) {
      if (!is_day(day)) continue;
      for (int hour = 0; hour < 24; ++hour) {
        if (!hours_.test(static_cast<std::size_t>(hour))) continue;
        for (int minute = 0; minute < 60; ++minute) {
          if (!minutes_.test(static_cast<std::size_t>(minute))) continue;
          const Minute at = day * kDay + hour * 60 + minute;
          if (at >= first) return at;
        }
      }
    }
    return std::nullopt;
  }

 private:
  static Minute floor_day(Minute minute) {
    return minute >= 0 ? minute / kDay : (minute - kDay + 1) / kDay;
  }

  static std::string expand(const std::string& text) {
    static constexpr std::array<std::array<const char*, 2>, 7> kNicknames = {
        {{"@hourly", "0 * * * *"},
         {"@daily", "0 0 * * *"},
         {"@midnight", "0 0 * * *"},
         {"@weekly", "0 0 * * 0"},
         {"@monthly", "0 0 1 * *"},
         {"@yearly", "0 0 1 1 *"},
         {"@annually", "0 0 1 1 *"}}};
    if (text.empty() || text.front() != '@') return text;
    for (const auto& nickname : kNicknames) {
      if (text == nickname[0]) return nickname[1];
    }
    throw std::invalid_argument("cron: unknown: '" + text + "'");
  }

  static std::array<std::string, 5> split(const std::string& text, const std::string& written) {
    std::istringstream in(text);
    std::array<std::string, 5> parts;
    std::string more;
    for (std::string& part : parts) in >> part;
    if (parts[4].empty() || in >> more) {
      throw std::invalid_argument("cron: needs five fields: '" + written + "'");
    }
    return parts;
  }

  bool is_day(Minute day) const {
    const std::time_t seconds = day * kDay * 60;
    std::tm date{};
    ::gmtime_r(&seconds, &date);
    if (!months_.test(static_cast<std::size_t>(date.tm_mon + 1))) return false;
    const bool of_month = days_.test(static_cast<std::size_t>(date.tm_mday));
    const bool of_week = weekdays_.test(static_cast<std::size_t>(date.tm_wday));
    return either_ ? of_month || of_week : of_month && of_week;
  }

  Set minutes_;
  Set hours_;
  Set days_;
  Set months_;
  Set weekdays_;
  bool either_ = false;
};

/// The C library knows one time zone at a time.
class InZone {
 public:
  explicit InZone(const std::string& zone) : switched_(!zone.empty()) {
    if (!switched_) return;
    if (const char* own = std::getenv("TZ")) own_ = own;
    ::setenv("TZ", (":" + zone).c_str(), 1);
    ::tzset();
  }
  ~InZone() {
    if (!switched_) return;
    if (own_) {
      ::setenv("TZ", own_->c_str(), 1);
    } else {
      ::unsetenv("TZ");
    }
    ::tzset();
  }
  InZone(const InZone&) = delete;
  InZone& operator=(const InZone&) = delete;

 private:
  bool switched_;
  std::optional<std::string> own_;
};

class Schedule : public supv::sdk::Condition {
 public:
  explicit Schedule(const supv::sdk::Host& host)
      : cron_(host.text("cron")), zone_(host.text("timezone")) {
    if (!zone_.empty()) check_zone(zone_);
  }

  Verdict poll(const supv_event& event) override {
    const Minute now = on_the_wall(event.wall_ns);
    // What was due before it was armed is none of its business.
    if (!seen_) go_on(on_the_wall(event.armed_wall_ns != 0 ? event.armed_wall_ns : event.wall_ns));
    // The hour that is repeated in autumn has been seen. A clock that went back further was wrong.
    if (now < *seen_ - kJump) go_on(now);
    if (due_ && *due_ <= now) {
      const std::string reason = "it was due at " + text_of(*due_);
      go_on(now);
      return supv::sdk::fire(reason);
    }
    seen_ = std::max(*seen_, now);
    return supv::sdk::ok(due_ ? "next at " + text_of(*due_) : "never");
  }

 private:
  static constexpr Minute kJump = 3 * 60;

  /// glibc takes a zone it does not know for UTC, without a word.
  static void check_zone(const std::string& zone) {
    struct stat about {};
    const std::string path = "/usr/share/zoneinfo/" + zone;
    const bool named = zone.front() != '/' && zone.find("..") == std::string::npos;
    if (!named || ::stat(path.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) {
      throw std::invalid_argument("timezone: there is no '" + zone + "' in /usr/share/zoneinfo");
    }
  }

  /// What is due in the hour that spring skips lies between two minutes that are seen.
  void go_on(Minute seen) {
    seen_ = seen;
    due_ = cron_.next(seen);
  }

  Minute on_the_wall(std::int64_t wall_ns) const {
    const InZone zone(zone_);
    const std::time_t seconds = wall_ns / 1'000'000'000;
    std::tm local{};
    ::tzset();  // The machine's own zone may have been changed.
    ::localtime_r(&seconds, &local);
    return ::timegm(&local) / 60;
  }

  static std::string text_of(Minute minute) {
    const std::time_t seconds = minute * 60;
    std::tm date{};
    ::gmtime_r(&seconds, &date);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &date);
    return text.data();
  }

  Cron cron_;
  std::string zone_;
  std::optional<Minute> seen_;
  std::optional<Minute> due_;  // The first one after seen_.
};

}  // namespace

SUPV_CONDITION_THAT(
    Schedule, "schedule",
    "True once for each time that is due, at the first look at or after it. In the hour that is "
    "repeated when summer time ends nothing is due a second time; what falls into the hour that "
    "is skipped when it begins is due at its end.",
    SUPV_POLL, kOptions, SUPV_NEWS);
