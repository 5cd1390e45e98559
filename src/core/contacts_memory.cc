// What of the contacts outlives a brain.
#include <algorithm>
#include <utility>

#include "base/units.h"
#include "core/contacts.h"

namespace supv {
namespace {

constexpr std::string_view kQueue = "contact/";
constexpr std::string_view kTold = "contact-told/";
/// A memory holds 8 KiB.
constexpr std::size_t kMaxMemory = 8000;
constexpr std::size_t kMaxText = 300;
/// Separate fields and records; they do not occur inside.
constexpr char kField = '\x1f';
constexpr char kRecord = '\x1e';

class Line {
 public:
  Line& add(std::string_view text) {
    if (!line_.empty()) line_ += kField;
    const std::size_t start = line_.size();
    line_ += text.substr(0, kMaxText);
    const auto begin = line_.begin() + static_cast<std::ptrdiff_t>(start);
    std::replace(begin, line_.end(), kField, ' ');
    std::replace(begin, line_.end(), kRecord, ' ');
    return *this;
  }
  const std::string& text() const { return line_; }

 private:
  std::string line_;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// The newest come last and are kept if there is no room for all.
std::string joined(const std::vector<std::string>& lines) {
  std::size_t size = 0;
  auto first = lines.end();
  while (first != lines.begin() && size + std::prev(first)->size() + 1 <= kMaxMemory) {
    --first;
    size += first->size() + 1;
  }
  std::string all;
  for (; first != lines.end(); ++first) {
    if (!all.empty()) all += kRecord;
    all += *first;
  }
  return all;
}

std::string line_of(const Notice& notice) {
  return Line()
      .add(std::to_string(static_cast<int>(notice.kind)))
      .add(std::to_string(notice.wall_ms))
      .add(notice.watch)
      .add(notice.source)
      .add(notice.state)
      .add(notice.action)
      .add(notice.text)
      .add(notice.to.priority.text())
      .add(notice.to.category.text())
      .text();
}

std::optional<Notice> notice_of(std::string_view line) {
  const auto fields = split(line, kField);
  if (fields.size() != 9) return std::nullopt;
  const auto kind = parse_unsigned(fields[0]);
  const auto wall_ms = parse_unsigned(fields[1]);
  if (!kind || *kind > static_cast<std::uint64_t>(Notice::Kind::flapping) || !wall_ms)
    return std::nullopt;
  Notice notice;
  notice.kind = static_cast<Notice::Kind>(*kind);
  notice.wall_ms = static_cast<std::int64_t>(*wall_ms);
  notice.watch = fields[2];
  notice.source = fields[3];
  notice.state = fields[4];
  notice.action = fields[5];
  notice.text = fields[6];
  notice.to.priority = std::string(fields[7]);
  notice.to.category = std::string(fields[8]);
  return notice;
}

std::string_view name_in(std::string_view key, std::string_view prefix) {
  return key.starts_with(prefix) ? key.substr(prefix.size()) : std::string_view();
}

}  // namespace

bool Contacts::owns(std::string_view memory_key) {
  return memory_key.starts_with(kQueue) || memory_key.starts_with(kTold);
}

void Contacts::restore(Moment now, const std::vector<Memory>& memory, Effects& effects) {
  for (const Memory& one : memory) {
    const std::string_view queue = name_in(one.key, kQueue);
    const std::string_view told = name_in(one.key, kTold);
    if (queue.empty() && told.empty()) continue;
    Contact* contact = find(queue.empty() ? told : queue);
    if (contact == nullptr) {
      effects.emplace_back(fx::Remember{one.key, "", false, false});
    } else if (told.empty()) {
      recall_queue(now, *contact, one.text);
    } else {
      recall_told(now, *contact, one.text);
    }
  }
  for (Contact& contact : contacts_) send(now, contact, effects);
}

void Contacts::recall_queue(Moment now, Contact& contact, std::string_view text) {
  for (const std::string_view line : split(text, kRecord)) {
    if (auto notice = notice_of(line)) contact.waiting.push_back(std::move(*notice));
  }
  contact.next = now.time;
}

void Contacts::recall_told(Moment now, Contact& contact, std::string_view text) {
  for (const std::string_view line : split(text, kRecord)) {
    const auto fields = split(line, kField);
    const auto wall_ms = fields.size() == 3 ? parse_unsigned(fields[0]) : std::nullopt;
    if (!wall_ms) continue;
    const auto at = static_cast<std::int64_t>(*wall_ms);
    // The wall clock may have been set; nobody waits longer than the time between two reminders.
    const std::int64_t age = std::clamp<std::int64_t>(now.wall_ms - at, 0, 3600'000);
    contact.told[{std::string(fields[1]), std::string(fields[2])}] = {now.time - Duration(age), at};
  }
}

void Contacts::remember(Effects& effects) {
  for (Contact& contact : contacts_) {
    if (std::exchange(contact.queue_changed, false)) {
      std::vector<std::string> lines;
      for (const Notice& notice : contact.waiting) lines.push_back(line_of(notice));
      effects.emplace_back(
          fx::Remember{std::string(kQueue) + contact.spec.name, joined(lines), false, false});
    }
    if (!std::exchange(contact.told_changed, false)) continue;
    std::vector<std::pair<std::int64_t, const Subject*>> told;
    for (const auto& [subject, when] : contact.told) told.emplace_back(when.wall_ms, &subject);
    std::sort(told.begin(), told.end());
    std::vector<std::string> lines;
    for (const auto& [wall_ms, subject] : told) {
      lines.push_back(
          Line().add(std::to_string(wall_ms)).add(subject->first).add(subject->second).text());
    }
    effects.emplace_back(
        fx::Remember{std::string(kTold) + contact.spec.name, joined(lines), false, false});
  }
}

}  // namespace supv
