#include <array>
#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"above", SUPV_TEXT, nullptr, "Fires above this: a number such as 8 or 1.5.", 1, nullptr},
    {"of", SUPV_CHOICE, "5m", "The average of so long.", 0, "1m|5m|15m"},
    {"per_cpu", SUPV_BOOLEAN, "false", "Divides it by the number of CPUs that are online.", 0,
     nullptr},
};

/// Of a list such as "0-3,6": 5. 0: it is none.
unsigned count_cpus(const std::string& text) {
  std::istringstream in(text);
  unsigned count = 0;
  for (std::string part; std::getline(in, part, ',');) {
    std::istringstream range(part);
    unsigned first = 0;
    unsigned last = 0;
    char dash = 0;
    if (!(range >> first)) return 0;
    if (!(range >> dash >> last)) last = first;
    if (last < first) return 0;
    count += last - first + 1;
  }
  return count;
}

std::string text_of(double load) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", load);
  return text.data();
}

class LoadAverage : public supv::sdk::Condition {
 public:
  explicit LoadAverage(const supv::sdk::Host& host)
      : host_(host), above_(host.number("above")), per_cpu_(host.boolean("per_cpu")) {
    if (!host.has("above")) throw std::invalid_argument("above is needed");
    if (above_ < 0) throw std::invalid_argument("above: below 0: '" + host.text("above") + "'");
  }

  supv::sdk::Verdict poll(const supv_event&) override {
    std::string text;
    std::array<double, 3> loads{};
    if (!host_.read("/proc/loadavg", text)) return supv::sdk::unknown("no /proc/loadavg");
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    if (!(in >> loads[0] >> loads[1] >> loads[2])) {
      return supv::sdk::unknown("/proc/loadavg cannot be understood");
    }
    double load = loads[host_.is("of", "1m") ? 0 : host_.is("of", "5m") ? 1 : 2];
    if (per_cpu_) {
      std::string online;
      const bool known = host_.read("/sys/devices/system/cpu/online", online);
      const unsigned cpus = known ? count_cpus(online) : 0;
      if (cpus == 0) return supv::sdk::unknown("the number of CPUs is not known");
      load /= cpus;
    }
    const std::string what = text_of(load) + (per_cpu_ ? " per CPU" : "");
    if (load <= above_) return supv::sdk::ok(what);
    return supv::sdk::fire(what + ", above " + host_.text("above"));
  }

 private:
  supv::sdk::Host host_;
  double above_;
  bool per_cpu_;
};

}  // namespace

SUPV_CONDITION(LoadAverage, "load_average",
               "True when more processes want to run on this machine than allowed.", SUPV_POLL,
               kOptions);
