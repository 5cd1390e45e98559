#pragma once

#include <supv/condition.h>

#include <string>
#include <vector>

namespace supv {

/// Every condition that is built in, sorted by name.
const std::vector<const supv_condition_descriptor*>& builtin_conditions();

/// True for names that are syntax of a watch file (all, flapping, ...): supvd itself judges them,
/// the descriptor only declares them.
bool judged_by_supvd(const supv_condition_descriptor& condition);

/// The reference of one condition, made from its declaration: when it is true, an example, each
/// option with type, default and meaning, and the options that every condition has. Plain text of
/// at most 100 columns, ends with a newline.
std::string describe_condition(const supv_condition_descriptor& condition);

}  // namespace supv
