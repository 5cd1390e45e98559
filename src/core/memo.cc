#include "core/memo.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"

namespace supv {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kMaxMemo = 640;

class Writer {
 public:
  template <typename Number>
  void number(Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    bytes_.append(bytes, sizeof bytes);
  }
  void text(const std::string& text) {
    number(static_cast<std::uint8_t>(text.size()));
    bytes_ += text;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename Number>
  Number number() {
    Number value{};
    if (bytes_.size() < sizeof value) {
      good_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    const auto size = number<std::uint8_t>();
    if (bytes_.size() < size) {
      good_ = false;
      return "";
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  bool good() const { return good_; }
  bool done() const { return good_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

}  // namespace

std::string encode(const Memo& memo) {
  Writer writer;
  writer.number(kVersion);
  writer.text(memo.watch);
  writer.number(static_cast<std::uint8_t>(memo.purpose));
  writer.number(static_cast<std::uint8_t>(memo.after));
  writer.number(static_cast<std::uint8_t>(memo.ready ? 1 : 0));
  writer.number(memo.failures);
  writer.number(memo.restarts);
  writer.number(memo.process.high);
  writer.number(memo.process.low);
  writer.number(static_cast<std::uint8_t>(memo.baselines.size()));
  for (const Memo::Baseline& baseline : memo.baselines) {
    writer.number(baseline.condition);
    writer.number(static_cast<std::uint8_t>(static_cast<int>(baseline.sample.kind) |
                                            (baseline.assumed ? 0x80 : 0)));
    writer.number(baseline.sample.index);
    writer.number(baseline.sample.digest.high);
    writer.number(baseline.sample.digest.low);
  }
  std::string bytes = writer.take();
  SUPV_CHECK(bytes.size() <= kMaxMemo);
  return bytes;
}

std::optional<Memo> decode_memo(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.number<std::uint8_t>() != kVersion) return std::nullopt;
  Memo memo;
  memo.watch = reader.text();
  const auto purpose = reader.number<std::uint8_t>();
  const auto after = reader.number<std::uint8_t>();
  if (purpose > static_cast<std::uint8_t>(Purpose::loose)) return std::nullopt;
  if (after > static_cast<std::uint8_t>(After::remove)) return std::nullopt;
  memo.purpose = static_cast<Purpose>(purpose);
  memo.after = static_cast<After>(after);
  memo.ready = reader.number<std::uint8_t>() != 0;
  memo.failures = reader.number<std::uint32_t>();
  memo.restarts = reader.number<std::uint32_t>();
  memo.process.high = reader.number<std::uint64_t>();
  memo.process.low = reader.number<std::uint64_t>();
  const auto count = reader.number<std::uint8_t>();
  if (count > kMaxChangeConditions) return std::nullopt;
  for (unsigned i = 0; i < count && reader.good(); ++i) {
    Memo::Baseline baseline;
    baseline.condition = reader.number<std::uint32_t>();
    const auto kind = reader.number<std::uint8_t>();
    if ((kind & 0x7f) > static_cast<std::uint8_t>(Sample::Kind::present)) return std::nullopt;
    baseline.sample.kind = static_cast<Sample::Kind>(kind & 0x7f);
    baseline.assumed = (kind & 0x80) != 0;
    baseline.sample.index = reader.number<std::uint64_t>();
    baseline.sample.digest.high = reader.number<std::uint64_t>();
    baseline.sample.digest.low = reader.number<std::uint64_t>();
    memo.baselines.push_back(std::move(baseline));
  }
  if (!reader.done()) return std::nullopt;
  return memo;
}

Digest fingerprint(const ProcessSpec& process) {
  std::string all;
  const auto add = [&](const std::string& text) { all += fmt::format("{}:{}", text.size(), text); };
  for (const std::string& word : process.start.argv) add(word);
  all += process.start.own_shell ? "S" : "-";
  add(process.dir);
  for (const auto& [name, value] : process.env) {
    add(name);
    add(value);
  }
  all += "|";
  for (const std::string& file : process.env_files) add(file);
  all += process.clean_env ? "C" : "-";
  add(process.uid);
  add(process.gid);
  all += process.umask ? fmt::format("{:o}", *process.umask) : "-";
  add(process.chroot);
  add(process.log);
  add(process.err_log);
  add(process.pid_file);
  all += process.whole_tree ? "T" : "P";
  return keyed_hash({}, all);
}

std::uint32_t condition_key(const ConditionSpec& condition) {
  std::string all = fmt::format("{}", static_cast<int>(condition.action));
  if (condition.kv) {
    const KvSpec& kv = *condition.kv;
    all += fmt::format("|{}|{}|{}|{}", kv.cluster, kv.datacenter, kv.path, kv.prefix);
    for (const std::string& pointer : kv.select) all += "|+" + pointer;
    for (const std::string& pointer : kv.ignore) all += "|-" + pointer;
  } else {
    all += condition.id;
  }
  return static_cast<std::uint32_t>(keyed_hash({}, all).low);
}

}  // namespace supv
