#include "app/supvctl_import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "app/import_god.h"
#include "app/import_god_json.h"
#include "app/import_god_ruby.h"
#include "app/load_input.h"
#include "app/places.h"
#include "base/fd.h"
#include "base/text.h"
#include "config/load.h"
#include "core/report.h"

namespace supv::ctl {
namespace {

using import_god::Converted;
using import_god::Note;
using import_god::Recording;
using import_god::Remark;
using import_god::Spot;

constexpr Duration kLimit{30000};
constexpr int kFailed = 1;

bool wants_json(const Invocation& invocation) {
  return invocation.output == Output::json || invocation.output == Output::jsonl;
}

std::string shown(const Spot& spot) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path near = fs::path(spot.file).lexically_relative(fs::current_path(error));
  const bool below = !error && !near.empty() && *near.begin() != "..";
  const std::string file = printable(below ? near.string() : spot.file);
  return spot.line == 0 ? file : fmt::format("{}:{}", file, spot.line);
}

const char* said(Note::Kind kind) {
  switch (kind) {
    case Note::Kind::lost:
      return "not expressed";
    case Note::Kind::changed:
      return "changes";
    case Note::Kind::review:
      return "REVIEW";
  }
  return "";
}

void print_note(const Note& note) {
  std::string line;
  if (!note.spot.file.empty()) line += shown(note.spot) + ": ";
  if (!note.watch.empty()) line += printable(note.watch) + ": ";
  fmt::print(stderr, "{}{}: {}\n", line, said(note.kind), printable(note.text));
}

/// The loader's opinion of the result, as if it stood in the file where it goes.
Loaded check(const std::string& yaml, const std::string& path) {
  LoadInput input = load_input({path});
  const FileAccess disk = input.files;
  const std::string self = input.paths.front();
  input.files.read = [&yaml, self, disk](const std::string& file, std::string& error) {
    return file == self ? std::optional<std::string>(yaml) : disk.read(file, error);
  };
  input.files.is_directory = [self, disk](const std::string& file) {
    return file != self && disk.is_directory(file);
  };
  return load(input);
}

std::string counted(std::size_t count, const char* what, const char* plural) {
  return fmt::format("{} {}", count, count == 1 ? what : plural);
}

void print_summary(const Converted& converted, const Loaded& loaded) {
  std::size_t kinds[3] = {};
  for (const Note& note : converted.notes) ++kinds[static_cast<std::size_t>(note.kind)];
  std::string text = counted(converted.watches.size(), "watch", "watches");
  if (!converted.tasks.empty()) text += ", " + counted(converted.tasks.size(), "task", "tasks");
  if (!converted.contacts.empty()) {
    text += ", " + counted(converted.contacts.size(), "contact", "contacts");
  }
  fmt::print(stderr, "converted: {}; {} not expressed, {} changed in meaning, {} to review\n", text,
             kinds[0], kinds[1], kinds[2]);
  std::size_t warnings = 0;
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    warnings += diagnostic.severity == Diagnostic::Severity::warning ? 1 : 0;
  }
  if (loaded.ok) {
    fmt::print(stderr, "check: ok{}\n",
               warnings == 0 ? "" : ", " + counted(warnings, "warning", "warnings"));
  } else {
    fmt::print(stderr,
               "supvctl: the result does not pass the check, which is a bug of supvctl:\n{}",
               render(loaded.diagnostics));
  }
}

/// Beside the file and then in its place. What holds secrets is for the owner alone.
void write_file(const std::string& path, const std::string& text, bool secrets, bool force) {
  if (!force && access(path.c_str(), F_OK) == 0) {
    throw std::runtime_error(printable(path) + " exists; --force replaces it");
  }
  const std::string beside = path + ".new";
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
  const Fd file(open(beside.c_str(), flags, secrets ? 0600 : 0644));
  std::string_view rest = text;
  bool good = static_cast<bool>(file) && (!secrets || fchmod(file.get(), 0600) == 0);
  while (good && !rest.empty()) {
    const ssize_t written = write(file.get(), rest.data(), rest.size());
    good = written > 0;
    if (good) rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (!good || rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(beside.c_str());
    throw std::runtime_error(printable(path) + ": " + std::strerror(error));
  }
}

void print_errors(const Recording& recording) {
  for (const Remark& error : recording.errors) {
    fmt::print(stderr, "{}: error: {}\n", shown(error.spot), printable(error.text));
  }
  for (const Remark& note : recording.notes) {
    fmt::print(stderr, "{}: note: {}\n", shown(note.spot), printable(note.text));
  }
  fmt::print(stderr, "supvctl: nothing was converted\n");
}

Recording record(const Invocation& invocation) {
  for (const std::string& file : invocation.files) {
    if (access(file.c_str(), R_OK) != 0) {
      throw std::runtime_error(printable(file) + ": " + std::strerror(errno));
    }
    if (!invocation.quiet) {
      fmt::print(stderr, "supvctl: executing the Ruby code of {}\n", shown({file, 0}));
    }
  }
  std::fflush(stderr);
  return import_god::parse_recording(
      import_god::run_recorder(invocation.files, invocation.timeout.value_or(kLimit)));
}

int import_god_files(const Invocation& invocation) {
  const Recording recording = record(invocation);
  const bool json = wants_json(invocation);
  const bool empty =
      recording.watches.empty() && recording.contacts.empty() && recording.globals.empty();
  if (!recording.errors.empty() || empty) {
    if (json) std::fputs(import_god::report_json({}, recording, {}, false).c_str(), stdout);
    if (recording.errors.empty()) {
      fmt::print(stderr, "supvctl: the files define nothing\n");
    } else {
      print_errors(recording);
    }
    return kFailed;
  }
  const Converted converted = import_god::convert(recording);
  const std::string path = invocation.out.empty() ? "god.watch.yaml" : invocation.out;
  const Loaded loaded = check(converted.yaml, path);
  if (!invocation.out.empty()) {
    write_file(absolute_path(path), converted.yaml, converted.secrets, invocation.force);
  }
  if (json) {
    std::fputs(import_god::report_json(converted, recording, loaded.diagnostics, loaded.ok).c_str(),
               stdout);
  } else if (invocation.out.empty()) {
    std::fputs(converted.yaml.c_str(), stdout);
  }
  std::fflush(stdout);
  if (!invocation.quiet) {
    for (const Note& note : converted.notes) print_note(note);
  }
  if (!invocation.quiet || !loaded.ok) print_summary(converted, loaded);
  return loaded.ok ? 0 : kFailed;
}

}  // namespace

int run_import(const Invocation& invocation) {
  if (invocation.from != "god") {
    fmt::print(stderr, "supvctl: import what? It knows the files of god: import god FILE...\n");
    return code::kUsage;
  }
  if (invocation.files.empty()) {
    fmt::print(stderr, "supvctl: import god needs a FILE\n");
    return code::kUsage;
  }
  return import_god_files(invocation);
}

}  // namespace supv::ctl
