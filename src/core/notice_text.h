#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/messages.h"
#include "core/placeholders.h"

namespace supv {

/// "fired", "recovered", "state", "flapping".
std::string_view kind_name(Notice::Kind kind);
/// One line, safe to show: the notice's text, with its watch where the text does not begin with it.
std::string one_line(const Notice& notice);
/// The condition's id that a notice comes from; empty for a change of state and the like.
std::string condition_of(const Notice& notice);

/// What %{…} stands for in what one contact is told: by one notice, or by several as a digest. In a
/// digest a word stands for what all of them have in common, and `watch` for every name.
class NoticeText {
 public:
  /// Makes a value safe where it goes.
  using Escape = std::function<std::string(std::string_view)>;

  /// At least one notice. `host` is this machine's name.
  NoticeText(const std::vector<Notice>& notices, std::string_view host);

  /// The value of a placeholder; empty for a name that is none.
  std::string_view value(std::string_view name) const;
  /// `pattern` with every placeholder replaced by its escaped value.
  std::string fill(std::string_view pattern, const Escape& escape) const;
  /// `message` in one line: of a digest only how many there are, and of which watches.
  const std::string& subject() const { return subject_; }

 private:
  std::vector<std::string> values_;  ///< Parallel to placeholder_names().
  std::string subject_;
};

}  // namespace supv
