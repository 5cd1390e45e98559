#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "plugin/check.h"
#include "plugin/check_sheet.h"
#include "plugin/check_subject.h"
#include "plugin/library.h"

namespace supv {

/// What the child does: everything a plugin must stand, in stages. This process may not survive it.
class Trial {
 public:
  /// `file`: the plugin, open.
  Trial(Sheet& sheet, const PluginCheck& check, int file);

  /// Never throws; what it found is on the sheet.
  void run();

 private:
  void load();
  void declare(const supv_condition_descriptor& raw);
  void praise_texts();
  void choose_options();
  void create();
  void try_values();
  void try_value(const supv_option& option, const std::string& value);
  void tick();
  void tell_endings();
  void tell_odd_events();
  void live_and_die();
  void live(int polls);
  bool leaves_nothing_open(std::chrono::steady_clock::time_point began);
  std::optional<std::size_t> leak(int polls, std::chrono::steady_clock::time_point began);
  void say_times(const char* what, const CallWatch::Times& times);

  bool over(std::chrono::steady_clock::time_point began) const;

  Sheet& sheet_;
  const PluginCheck& check_;
  int file_;
  std::unique_ptr<Declaration> declaration_;
  std::unique_ptr<CallWatch> watch_;
  PluginOptions options_;  ///< In base units.
  std::string guessed_;    ///< Required options that got a sample.
  int refused_ = 0;
  int taken_ = 0;
};

}  // namespace supv
