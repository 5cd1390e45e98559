#include <supv/condition.hpp>

namespace {

using supv::sdk::percent_text;

constexpr supv_option kOptions[] = {
    {"resource", SUPV_CHOICE, nullptr, "What is waited for.", 1, "cpu|memory|io"},
    {"above", SUPV_PERCENT, nullptr, "Fires when more than this part of the time was lost.", 1,
     nullptr},
    {"kind", SUPV_CHOICE, "some", "Time in which some, or all (full), of the work waited.", 0,
     "some|full"},
    {"of", SUPV_CHOICE, "60s", "Averaged over so long.", 0, "10s|60s|300s"},
};

class Pressure : public supv::sdk::Condition {
 public:
  explicit Pressure(const supv::sdk::Host& host)
      : host_(host),
        above_(host.number("above")),
        path_("/proc/pressure/" + host.text("resource")) {}

  supv::sdk::Verdict poll(const supv_event&) override {
    std::string text;
    if (!host_.read(path_, text)) {
      return supv::sdk::unknown("no " + path_ + ": this kernel was built or booted without PSI");
    }
    std::string average = host_.text("of");
    average = "avg" + average.substr(0, average.size() - 1) + "=";
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(host_.text("kind") + " ", 0) != 0) continue;
      const std::size_t at = line.find(average);
      if (at == std::string::npos) break;
      std::istringstream in(line.substr(at + average.size()));
      in.imbue(std::locale::classic());
      double percent = 0;
      if (!(in >> percent)) break;
      if (percent <= above_) return supv::sdk::ok(percent_text(percent));
      return supv::sdk::fire(percent_text(percent) + ", above " + percent_text(above_));
    }
    return supv::sdk::unknown("no \"" + host_.text("kind") + "\" with " + average + " in " + path_);
  }

 private:
  supv::sdk::Host host_;
  double above_;
  std::string path_;
};

}  // namespace

SUPV_CONDITION(Pressure, "pressure",
               "True when the machine's work loses more time waiting for a resource than allowed "
               "(the kernel's pressure stall information).",
               SUPV_POLL, kOptions);
