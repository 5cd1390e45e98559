#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// What may stand in a watch file: one table of keys per level. The loader checks with it, the JSON
/// Schema and the manual are made from it.
namespace supv {

enum class KeyType : std::uint8_t {
  text,
  boolean,
  duration,
  percent,
  number,   ///< A plain number, fractions allowed.
  integer,  ///< A plain whole number, not negative.
  size,     ///< 300MB
  octal,    ///< Quoted.
  signal,
  choice,       ///< One of `choices`, separated by '|'.
  texts,        ///< Text, or a list of texts.
  text_map,     ///< Names to texts.
  times,        ///< N, or [N, M].
  command,      ///< String, or list of arguments.
  reload,       ///< Command, or the name of a signal.
  ladder,       ///< List of "SIGNAL DURATION".
  keepalive,    ///< Boolean, or a map of `level`.
  conditions,   ///< List of conditions.
  transitions,  ///< List of maps of `level`.
  behaviors,
  notify,   ///< Names of contacts, or a map of `level`.
  states,   ///< A state, a list of them, or {true: STATE, false: STATE}.
  map,      ///< A map of `level`.
  maps,     ///< Names to maps of `level`.
  consul,   ///< A map of `level` that also holds `clusters`.
  plugins,  ///< Text, a list of texts, or a map of `level`.
  message,  ///< Text in which %{…} stands for what a contact is told.
};

struct Level;

struct Key {
  std::string_view name;
  KeyType type;
  std::string_view help;  ///< One line, as the manual says it; defaults in brackets.
  const Level* level = nullptr;
  std::string_view choices = {};
  std::string_view fallback = {};  ///< Of a contact's option: what it is when not written.
  bool required = false;           ///< Of a contact's option.
};

struct Level {
  std::string_view name;  ///< As in "unknown key 'x' of a watch".
  std::span<const Key> keys;
};

const Level& top_level();
const Level& watch_level();
const Level& hooks_level();
const Level& ready_level();
const Level& keepalive_level();
const Level& backoff_level();
const Level& flapping_level();
/// The condition `flapping`: the same, and what god has besides.
const Level& flapping_condition_level();
/// Of the behavior notify_when_flapping.
const Level& flapping_notice_level();
const Level& transition_level();
const Level& task_level();
const Level& consul_level();
const Level& cluster_level();
const Level& daemon_level();
const Level& node_level();
const Level& plugins_level();
/// The parameters that every condition has.
const Level& condition_level();

std::vector<std::string_view> key_names(const Level& level);
/// "a|b|c" -> {a, b, c}.
std::vector<std::string_view> split_choices(std::string_view choices);

}  // namespace supv
