#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supv::ctl {

/// How a cell looks on a terminal; says nothing that its text does not say.
enum class Tone : std::uint8_t { plain, good, bad, busy, faint };

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
};

/// Puts the escape sequences of `tone` around text when `colour` is on.
std::string paint(std::string_view text, Tone tone, bool colour);

/// Columns that a terminal needs for UTF-8 text (wide characters count twice).
std::size_t display_width(std::string_view text);

/// Lines up rows under a heading. The last column is never padded, and cut with "…" only when
/// `width` (a terminal's) is given and too small. Columns listed in `right` are right-aligned.
std::string render_table(const std::vector<std::string>& heading,
                         const std::vector<std::vector<Cell>>& rows,
                         const std::vector<std::size_t>& right, std::optional<std::size_t> width,
                         bool colour);

/// The columns of the terminal on standard output; empty when it is none.
std::optional<std::size_t> terminal_width();

/// "45s", "12m", "3h12m", "3d4h": two units at most.
std::string brief_duration(double seconds);
/// "3m ago", "just now".
std::string age(std::int64_t wall_ms, std::int64_t now_ms);
/// "in 42s", "now" when it has passed.
std::string ahead(std::int64_t wall_ms, std::int64_t now_ms);
std::int64_t now_wall_ms();

}  // namespace supv::ctl
