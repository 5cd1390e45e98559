#pragma once

#include <string>
#include <vector>

#include "core/spec.h"
#include "tests/sim/fake_consul.h"

namespace supv::sim {

/// The keys that conditions of these stories look at.
std::vector<std::string> story_keys();

/// A configuration with one to four watches of every shape.
Config draw_config(Sim& sim);
/// What an operator does to the files: shape, live keys, a new watch, one less.
void edit_config(Sim& sim, Config& config);
/// One that a load kept may be named again, all new. But autostart, keepalive and flapping say what
/// happens when a watch begins or ends, not what becomes of one that is down while they change:
/// those stay.
void stay_in_character(Config& config, const Config& in_force);

/// Makes the fake Consul change, and change its mood, at random.
void draw_consul_life(Sim& sim, FakeConsul& consul);

}  // namespace supv::sim
