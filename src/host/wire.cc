#include "host/wire.h"

#include "base/pack.h"

namespace supv::host {
namespace {

/// The first byte of a packet.
enum class Kind : std::uint8_t { hello = 1, make, drop, ask, said };

void write(PackWriter& out, const Hello& hello) {
  out.number(Kind::hello);
  out.number(hello.session);
}

void write(PackWriter& out, const Make& make) {
  out.number(Kind::make);
  out.number(make.id);
  out.text(make.name);
  out.text(make.watch);
  out.number(static_cast<std::uint32_t>(make.options.size()));
  for (const auto& [name, value] : make.options) {
    out.text(name);
    out.text(value);
  }
}

void write(PackWriter& out, const Drop& drop) {
  out.number(Kind::drop);
  out.number(drop.id);
}

void write(PackWriter& out, const Ask& ask) {
  out.number(Kind::ask);
  out.number(ask.id);
  out.number(ask.serial);
  out.number(ask.kind);
  out.number(ask.monotonic_ns);
  out.number(ask.wall_ns);
  out.number(ask.exit_code);
  out.number(ask.exit_signal);
}

void write(PackWriter& out, const Said& said) {
  out.number(Kind::said);
  out.number(said.id);
  out.number(said.serial);
  out.number(static_cast<std::uint32_t>(said.outcome));
  out.text(std::string_view(said.reason).substr(0, kMaxReason));
}

Make read_make(PackReader& in) {
  Make make;
  make.id = in.number<std::uint64_t>();
  make.name = in.text();
  make.watch = in.text();
  const auto count = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) {
    std::string name = in.text();
    make.options.emplace_back(std::move(name), in.text());
  }
  return make;
}

Ask read_ask(PackReader& in) {
  Ask ask;
  ask.id = in.number<std::uint64_t>();
  ask.serial = in.number<std::uint64_t>();
  ask.kind = in.number<std::uint32_t>();
  ask.monotonic_ns = in.number<std::int64_t>();
  ask.wall_ns = in.number<std::int64_t>();
  ask.exit_code = in.number<std::int32_t>();
  ask.exit_signal = in.number<std::int32_t>();
  return ask;
}

std::optional<Message> read_said(PackReader& in) {
  Said said;
  said.id = in.number<std::uint64_t>();
  said.serial = in.number<std::uint64_t>();
  const auto outcome = in.number<std::uint32_t>();
  if (outcome > SUPV_UNKNOWN) return std::nullopt;
  said.outcome = static_cast<supv_outcome>(outcome);
  said.reason = in.text();
  return said;
}

std::optional<Message> read(PackReader& in) {
  switch (static_cast<Kind>(in.number<std::uint8_t>())) {
    case Kind::hello:
      return Hello{in.number<std::uint64_t>()};
    case Kind::make:
      return read_make(in);
    case Kind::drop:
      return Drop{in.number<std::uint64_t>()};
    case Kind::ask: {
      const Ask ask = read_ask(in);
      if (ask.kind != SUPV_TICK && ask.kind != SUPV_ENDED) return std::nullopt;
      return ask;
    }
    case Kind::said:
      return read_said(in);
  }
  return std::nullopt;
}

}  // namespace

std::string encode(const Message& message) {
  PackWriter out;
  std::visit([&out](const auto& one) { write(out, one); }, message);
  return out.take();
}

std::optional<Message> decode(std::string_view packet) {
  PackReader in(packet);
  auto message = read(in);
  if (!in.complete()) return std::nullopt;
  return message;
}

}  // namespace supv::host
