#pragma once

#include <map>
#include <string>
#include <string_view>

#include "config/reader.h"
#include "core/contact_spec.h"

namespace supv {

/// Where each option of a contact is written; null: nowhere.
using ContactOptions = std::map<std::string_view, const Node*>;

/// An option's default as ContactSpec has it.
std::string default_of(const Key& key);
/// An option's value as ContactSpec has it; empty after an error.
std::string read_contact_option(Reader& reader, const Key& key, const Node& node);
/// What the table of kinds cannot say: options that belong together, addresses, places.
void check_contact(Reader& reader, const Node& contact, const ContactOptions& written,
                   const ContactSpec& spec);

}  // namespace supv
