#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace supv {

inline constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
/// The YAML library takes a time that grows with the square of a text's lines.
inline constexpr std::size_t kMaxLines = 100'000;

/// The text of one file, which everything read from it points into.
struct Source {
  std::string path;
  std::string dir;   ///< The folder of `path`.
  std::string text;  ///< Valid UTF-8 without BOM and control characters once check_text() passed.
  std::vector<std::size_t> lines;  ///< Byte offset of the start of each line.

  Source(std::string file_path, std::string content);

  /// 0-based number of the line that holds the byte at `offset`.
  std::size_t line_at(std::size_t offset) const;
  /// Line, column and excerpt of `length` bytes at `offset`; cut at the end of the line.
  Place place(std::size_t offset, std::size_t length) const;
};

/// Collects diagnostics. The same one at the same place is kept once, because a value that many
/// watches inherit is read many times.
class Report {
 public:
  void error(Place place, std::string text, std::string help = "");
  void warning(Place place, std::string text, std::string help = "");
  void add(Diagnostic diagnostic);
  std::size_t errors() const { return errors_; }
  /// True when so many errors are there that looking for more is a waste.
  bool full() const { return stopped_ || errors_ >= kMaxErrors; }
  /// Nothing that is found from here on counts.
  void stop() { stopped_ = true; }
  /// Everything, sorted by file in the order of `files`, then by line and column.
  std::vector<Diagnostic> take(const std::vector<std::string>& files);

 private:
  static constexpr std::size_t kMaxErrors = 200;
  std::vector<Diagnostic> diagnostics_;
  std::set<std::string> seen_;
  std::size_t errors_ = 0;
  bool stopped_ = false;
};

/// Refuses what YAML readers disagree about before one of them sees it: too much text, UTF-16,
/// invalid UTF-8, control characters. Removes a UTF-8 byte order mark. False if it reported errors.
bool check_text(Source& source, Report& report);

}  // namespace supv
