#pragma once

#include <supv/condition.h>

#include <string>
#include <string_view>

namespace supv {

/// The value of an option as a condition gets it: sizes in bytes, durations in milliseconds,
/// percentages in percent, everything else as it is. Text that is not of the type stays as it is;
/// the condition then refuses it.
std::string base_units(supv_type type, const std::string& text);

/// True if `text`, as it is written in a watch file, is a value of this type.
bool reads_as(supv_type type, std::string_view text, std::string_view choices);

/// What a value of this type is called: "size", "one of tree|process".
std::string type_text(const supv_option& option);

/// Some value of the option's type, as it would be written in a watch file.
std::string sample_value(const supv_option& option);

}  // namespace supv
