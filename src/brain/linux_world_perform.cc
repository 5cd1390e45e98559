#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "brain/linux_world.h"
#include "brain/start_refused.h"

namespace supv {

void LinuxWorld::perform(const Effect& effect) {
  if (!std::holds_alternative<fx::Poll>(effect)) ++deeds_;  // A question leaves nothing behind.
  try {
    std::visit([this](const auto& deed) { act(deed); }, effect);
  } catch (const StartRefused& refused) {
    failed(effect, refused.step(), refused.error(), refused.what());
  } catch (const std::system_error& error) {
    failed(effect, "world", error.code().value(), error.what());
  }
}

/// What could not be done becomes the news that the core expects of it.
void LinuxWorld::failed(const Effect& effect, const std::string& step, int error,
                        const std::string& text) {
  if (const auto* spawn = std::get_if<fx::Spawn>(&effect)) {
    return say(ev::StartFailed{spawn->run, step, error, text});
  }
  if (const auto* deliver = std::get_if<fx::Deliver>(&effect)) {
    return say(ev::Delivered{deliver->tag, false, true, text});
  }
  if (const auto* adopt = std::get_if<fx::Adopt>(&effect)) {
    return say(ev::StartFailed{adopt->run, "adopt", error, text});
  }
  if (const auto* follow = std::get_if<fx::Follow>(&effect)) {
    return say(ev::NotFollowed{follow->run, 0});
  }
  log_.error("{}", text);
}

void LinuxWorld::act(const fx::Spawn& spawn) {
  roles_.need(Roles::Name::scribe, now_.time);
  runs_.spawn(spawn);
  if (spawn.host != RunId::none) usage_.expect(spawn.run, spawn.host);
}

void LinuxWorld::act(const fx::Deliver& deliver) {
  deliveries_.deliver(deliver, [this, tag = deliver.tag](ev::Delivered answer) {
    answer.tag = tag;
    say(std::move(answer));
  });
}

void LinuxWorld::act(const fx::Probe& probe) {
  probes_.look(probe, runs_.started_wall_ms(probe.run), now_.time);
}

void LinuxWorld::act(const fx::Remember& memory) {
  StateFile& file = memory.durable ? durable_ : volatile_;
  if (const auto problem = file.put(memory.key, memory.text, memory.sync)) {
    log_.error("cannot keep {}: {}", memory.key, *problem);
  }
}

void LinuxWorld::act(const fx::Reply& reply) {
  deeds_ += reply.report.watches.size();  // a long status leaves as many holes as a storm
  if (control_) control_->reply(reply);
}

void LinuxWorld::act(const fx::Note& note) {
  const std::string line = event_file_.append(note, now_.wall_ms);
  if (control_) control_->publish(note.watch, line);
  const LogLevel level = note.kind == NoteKind::warning ? LogLevel::warn : LogLevel::info;
  const std::string who = note.watch.empty() ? "supvd" : note.watch;
  std::string text = who;
  if (!note.from.empty() && note.from != note.to) {
    text += fmt::format(": {} -> {}", note.from, note.to);
  }
  if (!note.reason.empty()) text += fmt::format(": {}", note.reason);
  log_.write(level, text);
}

void LinuxWorld::act(const fx::Load& load) {
  init_.reloading(now_.time);
  go_on_loading(load, std::make_shared<PluginStudies>(commands_));
}

void LinuxWorld::go_on_loading(const fx::Load& load,
                               const std::shared_ptr<PluginStudies>& studies) {
  ConfigFiles::Outcome outcome =
      config_files_.load(load.ticket, load.files,
                         [&studies](const std::string& path, const FileAccess::Options* tried) {
                           return studies->know(path, tried);
                         });
  if (outcome.incomplete) {
    return studies->find_out(now_.time, [this, load, studies] { go_on_loading(load, studies); });
  }
  init_.ready();
  if (!outcome.config) return say(ev::Rejected{load.ticket, std::move(outcome.diagnostics)});
  for (const std::string& warning : outcome.warnings) log_.warn("{}", warning);
  say(ev::Loaded{load.ticket, std::move(*outcome.config)});
}

void LinuxWorld::act(const fx::Applied& applied) {
  take_over(applied.config);
  retained_ = applied.retained;
  if (applied.ticket != 0) commit(applied.ticket);
}

/// The files of a load are what counts from now on: their texts are kept, and FIFOs of watches
/// that are not in them any more go.
void LinuxWorld::commit(std::uint64_t ticket) {
  const auto committed = config_files_.commit(ticket, retained_);
  if (!committed) return;
  if (!committed->written) {
    log_.error("the configuration in force could not be copied to {}", options_.runtime_dir);
  }
  for (const std::string& watch : committed->unknown) {
    log_.error("{}: nothing is known that defines it; the next brain will stop it", watch);
  }
  const std::set<std::string> names(committed->watches.begin(), committed->watches.end());
  leaving_ = pipes_.found();
  std::erase_if(leaving_, [&names](const std::string& watch) { return names.count(watch) > 0; });
  drop_unused_pipes();
}

void LinuxWorld::forgotten(RunId run) {
  probes_.forget(run);
  usage_.forget(run);
  trees_.forget(run);
  if (!leaving_.empty()) drop_unused_pipes();
}

/// The FIFOs of a watch that has left the configuration go once nothing of it runs.
void LinuxWorld::drop_unused_pipes() {
  std::vector<std::string> gone;
  std::erase_if(leaving_, [this, &gone](const std::string& watch) {
    if (runs_.any_of(watch)) return false;
    gone.push_back(watch);
    return true;
  });
  if (gone.empty()) return;
  pipes_.keep_only([&gone](const std::string& watch) {
    return std::find(gone.begin(), gone.end(), watch) == gone.end();
  });
}

}  // namespace supv
