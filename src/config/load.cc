#include "config/load.h"

#include <fmt/core.h>

#include <exception>
#include <filesystem>
#include <map>
#include <new>
#include <utility>

#include "config/collect.h"
#include "config/condition_reader.h"
#include "config/contact_reader.h"
#include "config/inherit.h"
#include "config/merge.h"
#include "config/reader.h"
#include "config/top_reader.h"
#include "config/watch_reader.h"

namespace supv {
namespace {

/// One load, from the texts to the specs.
class Loading {
 public:
  explicit Loading(const LoadInput& input)
      : input_(input),
        expander_(input, report_),
        reader_(expander_, report_),
        merger_(arena_, report_),
        files_(input, arena_, reader_),
        plugins_(input),
        inheritance_(files_, merger_, reader_, input) {}

  Loaded run() {
    Loaded loaded;
    loaded.config.clusters[""];
    files_.read();
    TopReader top(reader_);
    for (const auto& document : files_.documents()) top.read(*document, loaded.config);
    plugins_.set(loaded.config.plugins);
    ContactReader contacts(reader_);
    for (const auto& document : files_.documents())
      contacts.read(*document, loaded.config.contacts);
    contacts.check_groups(loaded.config.contacts);
    clusters_ = TopReader::cluster_names(loaded.config);
    read_watches(loaded.config);
    check_groups(loaded.config);
    check_recipients(reader_, loaded.config.contacts);
    loaded.config.plugins.used = plugins_.used();
    loaded.incomplete = plugins_.incomplete();
    loaded.config.files = files_.files();
    loaded.diagnostics = report_.take(files_.files());
    loaded.ok = without_errors(loaded.diagnostics);
    return loaded;
  }

 private:
  void read_watches(Config& config) {
    ConditionReader conditions(reader_, arena_, input_.catalog, plugins_, clusters_);
    WatchReader watches(reader_, conditions);
    for (const auto& document : files_.documents()) {
      if (document->watches.empty()) inheritance_.check(*document);
      for (const WatchEntry& watch : document->watches) {
        if (report_.full()) return;
        const auto [first, fresh] = names_.emplace(watch.key->text, watch.key);
        if (!fresh) report_twice(watch, *first->second, "watch");
        const Node* keys = inheritance_.resolve(watch);
        if (keys != nullptr && fresh) config.watches.push_back(watches.read(watch, *keys));
      }
      for (const WatchEntry& task : document->tasks) {
        if (report_.full()) return;
        const auto [first, fresh] = names_.emplace(task.key->text, task.key);
        if (!fresh) report_twice(task, *first->second, "task");
        if (fresh) config.watches.push_back(watches.read_task(task));
      }
    }
  }

  void report_twice(const WatchEntry& watch, const Node& first, const char* what) {
    Diagnostic diagnostic;
    diagnostic.place = watch.key->place();
    diagnostic.text = fmt::format("{} '{}' is defined twice", what, watch.key->text);
    diagnostic.related = first.place();
    diagnostic.related_text = "first time here";
    report_.add(std::move(diagnostic));
  }

  /// A command that accepts both must know which one is meant.
  void check_groups(const Config& config) {
    for (const WatchSpec& watch : config.watches) {
      for (const std::string& group : watch.groups) {
        const auto same = names_.find(group);
        if (same == names_.end()) continue;
        reader_.error(*names_.at(watch.name),
                      fmt::format("the group '{}' of watch '{}' is also the name of a watch", group,
                                  watch.name));
      }
    }
  }

  const LoadInput& input_;
  Report report_;
  Arena arena_;
  Expander expander_;
  Reader reader_;
  Merger merger_;
  Collection files_;
  PluginFinder plugins_;
  Inheritance inheritance_;
  std::vector<std::string> clusters_;
  std::map<std::string, const Node*> names_;
};

Loaded failed(const LoadInput& input, const std::string& why) {
  Loaded loaded;
  Diagnostic diagnostic;
  diagnostic.place.file = input.paths.empty() ? "" : input.paths.front();
  diagnostic.text = why;
  loaded.diagnostics.push_back(std::move(diagnostic));
  return loaded;
}

}  // namespace

Loaded load(const LoadInput& input) {
  try {
    return Loading(input).run();
  } catch (const std::bad_alloc&) {
    return failed(input, "there is not enough memory to read this configuration");
  } catch (const std::filesystem::filesystem_error& e) {
    return failed(input, e.code().message());
  }
}

}  // namespace supv
