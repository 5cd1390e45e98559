#include "core/contacts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/units.h"

namespace supv {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

/// What comes so soon after a delivery goes with others.
constexpr seconds kCollect{10};
constexpr hours kRemind{1};
constexpr std::array kRetries = {seconds(5), seconds(30), seconds(120), seconds(600)};
constexpr std::size_t kMaxWaiting = 100;
constexpr std::size_t kMaxTold = 4096;

void say(std::vector<Effect>& effects, NoteKind kind, std::string text) {
  fx::Note note;
  note.kind = kind;
  note.reason = std::move(text);
  effects.emplace_back(std::move(note));
}

std::string notices(std::uint64_t count) {
  return fmt::format("{} notice{}", count, count == 1 ? "" : "s");
}

std::string shown(const ContactSpec& spec) {
  return fmt::format("contact {} ({})", spec.name, spec.kind);
}

/// Flapping has no end that anybody would tell of: only the same words again are a repetition.
std::string source_of(const Notice& notice) {
  return notice.kind == Notice::Kind::flapping ? notice.source + ' ' + notice.text : notice.source;
}

}  // namespace

void Contacts::set(Moment now, const std::vector<ContactSpec>& contacts, Effects& effects) {
  std::list<Contact> next;
  for (const ContactSpec& spec : contacts) {
    const auto old = std::find_if(contacts_.begin(), contacts_.end(),
                                  [&](const Contact& one) { return one.spec.name == spec.name; });
    if (old == contacts_.end()) {
      next.emplace_back().spec = spec;
      continue;
    }
    next.splice(next.end(), contacts_, old);
    if (old->spec == spec) continue;
    old->spec = spec;
    old->tries = 0;
    old->next = now.time;
  }
  for (Contact& gone : contacts_) {
    gone.waiting.clear();
    gone.told.clear();
    gone.queue_changed = gone.told_changed = true;
  }
  remember(effects);
  contacts_ = std::move(next);
  unknown_.clear();
}

Contacts::Contact* Contacts::find(std::string_view name) {
  for (Contact& contact : contacts_) {
    if (contact.spec.name == name) return &contact;
  }
  return nullptr;
}

/// Each one once, in the order of definition.
std::vector<Contacts::Contact*> Contacts::recipients(const Notice& notice, Effects& effects) {
  const auto& names = notice.to.contacts;
  std::vector<Contact*> found;
  std::set<std::string_view> known;
  for (Contact& contact : contacts_) {
    known.insert(contact.spec.name);
    known.insert(contact.spec.groups.begin(), contact.spec.groups.end());
    const auto meant = [&contact](const std::string& name) {
      const auto& groups = contact.spec.groups;
      return name == contact.spec.name ||
             std::find(groups.begin(), groups.end(), name) != groups.end();
    };
    if (std::any_of(names.begin(), names.end(), meant)) found.push_back(&contact);
  }
  // The loader lets nobody be named who is not there; but a watch may outlive its file.
  for (const std::string& name : names) {
    if (known.count(name) > 0 || !unknown_.insert(name).second) continue;
    say(effects, NoteKind::warning, fmt::format("there is no contact {} to be told", name));
  }
  return found;
}

/// Also takes note that the contact is going to know.
bool Contacts::wanted(Contact& contact, const Notice& notice, Time now) {
  const Subject subject{notice.watch, source_of(notice)};
  const auto told = contact.told.find(subject);
  switch (notice.kind) {
    case Notice::Kind::state:
      return true;
    case Notice::Kind::recovered:
      if (told == contact.told.end()) return false;
      contact.told.erase(told);
      contact.told_changed = true;
      return true;
    case Notice::Kind::fired:
      if (!notice.lasts) return true;
      break;
    case Notice::Kind::flapping:
      break;
  }
  if (told != contact.told.end() && now - told->second.at < kRemind) return false;
  if (told == contact.told.end() && contact.told.size() >= kMaxTold) {
    const auto oldest =
        std::min_element(contact.told.begin(), contact.told.end(),
                         [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
    contact.told.erase(oldest);
  }
  contact.told[subject] = {now, notice.wall_ms};
  contact.told_changed = true;
  return true;
}

void Contacts::take(Moment now, std::vector<Notice> notices, Effects& effects) {
  for (const Notice& notice : notices) {
    for (Contact* contact : recipients(notice, effects)) {
      if (wanted(*contact, notice, now.time)) add(*contact, notice, effects);
    }
  }
  for (Contact& contact : contacts_) send(now, contact, effects);
  remember(effects);
}

void Contacts::add(Contact& contact, const Notice& notice, Effects& effects) {
  contact.queue_changed = true;
  contact.waiting.push_back(notice);
  if (contact.waiting.size() - contact.sent <= kMaxWaiting) return;
  lose(contact, contact.sent, 1);
  if (std::exchange(contact.loss_said, true)) return;
  say(effects, NoteKind::warning,
      fmt::format("{}: more than {} wait; the oldest are given up", shown(contact.spec),
                  supv::notices(kMaxWaiting)));
}

/// Who was not told that something fired is not told either that it has recovered.
void Contacts::lose(Contact& contact, std::size_t first, std::size_t count) {
  const auto begin = contact.waiting.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = begin + static_cast<std::ptrdiff_t>(count);
  for (auto notice = begin; notice != end; ++notice) {
    contact.told_changed |= contact.told.erase({notice->watch, source_of(*notice)}) > 0;
  }
  contact.waiting.erase(begin, end);
  contact.given_up += count;
  contact.lost += count;
  contact.queue_changed = true;
}

void Contacts::send(Moment now, Contact& contact, Effects& effects) {
  if (contact.tag != 0 || contact.waiting.empty() || now.time < contact.next) return;
  contact.tag = ++last_tag_;
  contact.sent = contact.waiting.size();
  contact.next = now.time + kCollect;
  effects.emplace_back(fx::Deliver{
      contact.tag, contact.spec.name, {contact.waiting.begin(), contact.waiting.end()}});
}

void Contacts::delivered(Moment now, const ev::Delivered& answer, Effects& effects) {
  const auto contact = std::find_if(
      contacts_.begin(), contacts_.end(),
      [&answer](const Contact& one) { return answer.tag != 0 && one.tag == answer.tag; });
  if (contact == contacts_.end()) return;
  contact->tag = 0;
  if (answer.good) {
    succeeded(*contact, effects);
  } else {
    failed(now, *contact, answer, effects);
  }
  contact->sent = 0;
  send(now, *contact, effects);
  remember(effects);
}

void Contacts::succeeded(Contact& contact, Effects& effects) {
  contact.waiting.erase(contact.waiting.begin(),
                        contact.waiting.begin() + static_cast<std::ptrdiff_t>(contact.sent));
  contact.queue_changed = true;
  contact.reached += contact.sent;
  contact.tries = 0;
  const std::string lost =
      contact.lost == 0 ? "" : fmt::format("{} never reached it", supv::notices(contact.lost));
  if (!contact.error.empty()) {
    say(effects, NoteKind::change,
        fmt::format("{} works again{}{}", shown(contact.spec), lost.empty() ? "" : "; ", lost));
  } else if (!lost.empty()) {
    say(effects, NoteKind::warning, fmt::format("{}: {}", shown(contact.spec), lost));
  }
  contact.error.clear();
  contact.lost = 0;
  contact.loss_said = false;
}

void Contacts::failed(Moment now, Contact& contact, const ev::Delivered& answer, Effects& effects) {
  const bool fresh = contact.error.empty();
  contact.error = answer.error.empty() ? "it failed" : answer.error;
  const std::string who = shown(contact.spec);
  if (answer.again && contact.tries < kRetries.size()) {
    const seconds wait = kRetries[contact.tries++];
    contact.next = now.time + wait;
    if (fresh) {
      say(effects, NoteKind::warning,
          fmt::format("{} cannot be told: {}; tried again in {}", who, contact.error,
                      format_duration(wait)));
    }
    return;
  }
  const std::size_t tries = std::exchange(contact.tries, 0) + 1;
  const std::string what = supv::notices(contact.sent);
  lose(contact, 0, contact.sent);
  if (fresh) {
    say(effects, NoteKind::warning,
        fmt::format("{} cannot be told: {}; {} given up", who, contact.error, what));
  } else if (!contact.loss_said) {
    say(effects, NoteKind::warning,
        fmt::format("{} cannot be told: {}; {} given up after {} tries", who, contact.error, what,
                    tries));
  }
  contact.loss_said = true;
}

std::optional<Time> Contacts::due() const {
  std::optional<Time> first;
  for (const Contact& contact : contacts_) {
    if (contact.tag != 0 || contact.waiting.empty()) continue;
    if (!first || contact.next < *first) first = contact.next;
  }
  return first;
}

void Contacts::on_deadline(Moment now, Effects& effects) {
  for (Contact& contact : contacts_) send(now, contact, effects);
  remember(effects);
}

std::vector<ContactReport> Contacts::reports() const {
  std::vector<ContactReport> reports;
  for (const Contact& one : contacts_) {
    reports.push_back(
        {one.spec.name, one.spec.kind, one.waiting.size(), one.reached, one.given_up, one.error});
  }
  return reports;
}

}  // namespace supv
