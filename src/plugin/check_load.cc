#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "base/text.h"
#include "plugin/check_exports.h"
#include "plugin/check_trial.h"
#include "plugin/options.h"

namespace supv {
namespace {

using Level = Finding::Level;

bool is_sentence(std::string_view text) {
  return text.size() > 1 && text.back() == '.' && text.find('\n') == std::string_view::npos;
}

const char* when_asked(supv_kind kind) {
  return kind == SUPV_EXIT ? "told when the run has ended (SUPV_EXIT)"
                           : "asked every `interval` (SUPV_POLL)";
}

}  // namespace

void Trial::load() {
  sheet_.enter("load");
  const std::vector<std::string> others = other_exports(file_);
  const auto began = std::chrono::steady_clock::now();
  sheet_.at(Spot::constructors);
  void* library = load_library(fmt::format("/proc/self/fd/{}", file_));
  sheet_.at(Spot::nothing);
  const auto took = std::chrono::steady_clock::now() - began;
  sheet_.note(Level::ok,
              fmt::format("loads in {} ms, with everything that it needs",
                          std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  sheet_.enter("symbol");
  const supv_condition_descriptor& raw = exported_descriptor(library);
  if (others.empty()) {
    sheet_.note(Level::ok, "exports supv_condition_plugin and nothing else");
  } else {
    sheet_.note(
        Level::warning,
        fmt::format("exports {} name{} besides supv_condition_plugin, such as {}: link "
                    "with -Wl,--version-script=condition.map",
                    others.size(), others.size() == 1 ? "" : "s", printable(others.front())));
  }
  declare(raw);
}

void Trial::declare(const supv_condition_descriptor& raw) {
  sheet_.enter("abi");
  sheet_.at(Spot::descriptor);
  if (raw.abi != SUPV_CONDITION_ABI)
    throw BadPlugin(fmt::format("it was built for ABI {}, this supvd speaks ABI {}", raw.abi,
                                SUPV_CONDITION_ABI));
  sheet_.note(Level::ok, fmt::format("built for ABI {}, which this supvd speaks", raw.abi));
  sheet_.enter("name");
  sheet_.at(Spot::descriptor);
  check_name(raw, plugin_name(check_.path));
  sheet_.enter("declaration");
  sheet_.at(Spot::descriptor);
  declaration_ = std::make_unique<Declaration>(raw);
  const supv_condition_descriptor& known = declaration_->descriptor();
  sheet_.declare(declaration_->pack());
  sheet_.enter("name");
  sheet_.note(Level::ok, fmt::format("{}, as its file is called", known.name));
  sheet_.enter("declaration");
  sheet_.note(Level::ok, fmt::format("{}; {} option{}", when_asked(known.kind), known.option_count,
                                     known.option_count == 1 ? "" : "s"));
  constexpr std::uint32_t kFlags =
      SUPV_WAITS | SUPV_BASELINE | SUPV_NEWS | SUPV_OF_PROCESS | SUPV_HOSTED;
  if ((known.flags & ~kFlags) != 0)
    sheet_.note(Level::warning,
                fmt::format("flags {:#x} mean nothing to this supvd", known.flags & ~kFlags));
  const bool says_size =
      raw.size >= offsetof(supv_condition_descriptor, option_size) + sizeof raw.option_size &&
      raw.option_size != 0;
  if (known.option_count > 0 && !says_size)
    sheet_.note(Level::warning,
                "the descriptor does not say option_size, sizeof(struct supv_option)");
  praise_texts();
  watch_ = std::make_unique<CallWatch>(sheet_, known);
  sheet_.enter("load");
  watch_->after_loading();
}

void Trial::praise_texts() {
  const supv_condition_descriptor& known = declaration_->descriptor();
  if (!is_sentence(known.help))
    sheet_.note(Level::warning, fmt::format("help should be a sentence with its full stop, such "
                                            "as \"True when ...\": '{}'",
                                            known.help));
  for (std::uint32_t i = 0; i < known.option_count; ++i) {
    const supv_option& option = known.options[i];
    if (!is_sentence(option.help))
      sheet_.note(Level::warning,
                  fmt::format("option {}: help should be a sentence with its full stop: '{}'",
                              option.name, option.help));
  }
}

void Trial::choose_options() {
  sheet_.enter("create");
  const supv_condition_descriptor& known = declaration_->descriptor();
  std::string names;
  for (std::uint32_t i = 0; i < known.option_count; ++i) {
    const supv_option& option = known.options[i];
    names += (names.empty() ? "" : ", ") + std::string(option.name);
    const auto given = std::find_if(check_.options.begin(), check_.options.end(),
                                    [&](const auto& one) { return one.first == option.name; });
    std::string value;
    if (given != check_.options.end()) {
      value = given->second;
      if (!reads_as(option.type, value, option.choices == nullptr ? "" : option.choices))
        throw BadPlugin(fmt::format("option {}: '{}' is not {}", option.name, printable(value),
                                    type_text(option)));
    } else if (option.fallback != nullptr) {
      value = option.fallback;
    } else if (option.required != 0) {
      value = sample_value(option);
      guessed_ += fmt::format("{}{}={}", guessed_.empty() ? "" : " ", option.name, value);
    } else {
      continue;
    }
    options_.emplace_back(option.name, base_units(option.type, value));
  }
  for (const auto& [name, value] : check_.options) {
    const bool known_name =
        std::any_of(options_.begin(), options_.end(),
                    [&, wanted = &name](const auto& one) { return one.first == *wanted; });
    if (known_name) continue;
    if (!name.starts_with("watch."))
      throw BadPlugin(fmt::format("it has no option '{}'; it has {}", printable(name),
                                  names.empty() ? "none" : names));
    options_.emplace_back(name, value);
  }
}

}  // namespace supv
