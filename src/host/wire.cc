#include "host/wire.h"

#include <array>

#include "base/pack.h"

namespace supv::host {
namespace {

constexpr std::array kFetchTexts = {
    &Fetch::method,      &Fetch::url,         &Fetch::headers,
    &Fetch::body,        &Fetch::unix_socket, &Fetch::ca_file,
    &Fetch::client_cert, &Fetch::client_key,  &Fetch::server_name,
};

/// The first byte of a packet.
enum class Kind : std::uint8_t {
  hello = 1,
  make,
  drop,
  ask,
  said,
  reply,
  want,
  got,
  fetch,
  run,
  trouble
};

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

void write_ask(PackWriter& out, const Ask& ask) {
  out.number(ask.id);
  out.number(ask.serial);
  out.number(ask.kind);
  out.number(ask.monotonic_ns);
  out.number(ask.wall_ns);
  out.number(ask.armed_wall_ns);
  out.number(ask.exit_code);
  out.number(ask.exit_signal);
  out.number(ask.pid);
}

void write(PackWriter& out, const Ask& ask) {
  out.number(Kind::ask);
  write_ask(out, ask);
}

void write(PackWriter& out, const Reply& reply) {
  out.number(Kind::reply);
  write_ask(out, reply.ask);
  out.flag(reply.failed);
  out.text(std::string_view(reply.error).substr(0, kMaxReason));
  out.number(reply.status);
  out.number(reply.signal);
  out.text(std::string_view(reply.text).substr(0, kMaxReply));
}

void write(PackWriter& out, const Want& want) {
  out.number(Kind::want);
  out.number(want.id);
  out.number(want.call);
  out.number(want.what);
  out.number(want.scope);
  out.flag(want.with_pss);
}

void write(PackWriter& out, const Got& got) {
  out.number(Kind::got);
  out.number(got.call);
  out.number(got.result);
  out.text(got.bytes);
}

void write(PackWriter& out, const Fetch& fetch) {
  out.number(Kind::fetch);
  out.number(fetch.id);
  for (std::string Fetch::*const text : kFetchTexts) out.text(fetch.*text);
  out.flag(fetch.insecure);
  out.number(fetch.redirects);
  out.number(fetch.timeout_ms);
}

void write(PackWriter& out, const Run& run) {
  out.number(Kind::run);
  out.number(run.id);
  out.text(run.command);
  out.number(run.timeout_ms);
}

void write(PackWriter& out, const Trouble& trouble) {
  out.number(Kind::trouble);
  out.number(trouble.id);
  out.text(std::string_view(trouble.text).substr(0, kMaxReason));
}

void write(PackWriter& out, const Said& said) {
  out.number(Kind::said);
  out.number(said.id);
  out.number(said.serial);
  out.number(static_cast<std::uint32_t>(said.outcome));
  out.text(std::string_view(said.reason).substr(0, kMaxReason));
  out.text(std::string_view(said.metrics).substr(0, kMaxMetrics));
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
  ask.armed_wall_ns = in.number<std::int64_t>();
  ask.exit_code = in.number<std::int32_t>();
  ask.exit_signal = in.number<std::int32_t>();
  ask.pid = in.number<std::int32_t>();
  return ask;
}

std::optional<Message> read_reply(PackReader& in) {
  Reply reply;
  reply.ask = read_ask(in);
  if (reply.ask.kind != SUPV_REPLY) return std::nullopt;
  reply.failed = in.flag();
  reply.error = in.text();
  reply.status = in.number<std::int32_t>();
  reply.signal = in.number<std::int32_t>();
  reply.text = in.text();
  return reply;
}

std::optional<Message> read_want(PackReader& in) {
  Want want;
  want.id = in.number<std::uint64_t>();
  want.call = in.number<std::uint64_t>();
  const auto what = in.number<std::uint8_t>();
  if (what > static_cast<std::uint8_t>(Want::What::cgroup)) return std::nullopt;
  want.what = static_cast<Want::What>(what);
  want.scope = in.number<std::uint32_t>();
  if (want.scope > SUPV_SCOPE_PROCESS) return std::nullopt;
  want.with_pss = in.flag();
  return want;
}

Got read_got(PackReader& in) {
  Got got;
  got.call = in.number<std::uint64_t>();
  got.result = in.number<std::int64_t>();
  got.bytes = in.text();
  return got;
}

Fetch read_fetch(PackReader& in) {
  Fetch fetch;
  fetch.id = in.number<std::uint64_t>();
  for (std::string Fetch::*text : kFetchTexts) fetch.*text = in.text();
  fetch.insecure = in.flag();
  fetch.redirects = in.number<std::int32_t>();
  fetch.timeout_ms = in.number<std::int64_t>();
  return fetch;
}

Run read_run(PackReader& in) {
  Run run;
  run.id = in.number<std::uint64_t>();
  run.command = in.text();
  run.timeout_ms = in.number<std::int64_t>();
  return run;
}

Trouble read_trouble(PackReader& in) {
  Trouble trouble;
  trouble.id = in.number<std::uint64_t>();
  trouble.text = in.text();
  return trouble;
}

std::optional<Message> read_said(PackReader& in) {
  Said said;
  said.id = in.number<std::uint64_t>();
  said.serial = in.number<std::uint64_t>();
  const auto outcome = in.number<std::uint32_t>();
  if (outcome > SUPV_UNKNOWN) return std::nullopt;
  said.outcome = static_cast<supv_outcome>(outcome);
  said.reason = in.text();
  said.metrics = in.text();
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
    case Kind::reply:
      return read_reply(in);
    case Kind::want:
      return read_want(in);
    case Kind::got:
      return read_got(in);
    case Kind::fetch:
      return read_fetch(in);
    case Kind::run:
      return read_run(in);
    case Kind::trouble:
      return read_trouble(in);
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
