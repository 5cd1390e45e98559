#include <fmt/format.h>
#include <stdlib.h>

#include <memory>

#include "brain/runs.h"
#include "brain/start_refused.h"

namespace supv {

namespace {

/// `current` and its like are resolved at each start, so that a run stays in the release it was
/// started in. Below a chroot only the child can resolve, and what does not exist is its news too.
std::string resolved_dir(const ProcessSpec& process) {
  if (!process.chroot.empty()) return process.dir;
  const std::unique_ptr<char, void (*)(void*)> path(::realpath(process.dir.c_str(), nullptr),
                                                    ::free);
  return path ? path.get() : process.dir;
}

Environment environment_of(const fx::Spawn& spawn, const Environment& own, const Account& account,
                           const std::string& dir, const std::string& consul_address) {
  const ProcessSpec& process = *spawn.process;
  Environment env = process.clean_env ? clean_environment(own) : inherited_environment(own);
  for (const auto& [name, value] : account.variables) env[name] = value;
  env["PWD"] = dir;
  env.erase("OLDPWD");
  if (!spawn.watch.empty()) env["SUPV_WATCH"] = spawn.watch;
  if (!consul_address.empty()) {
    env["CONSUL_HTTP_ADDR"] = consul_address;
    env.erase("CONSUL_HTTP_SSL");  // It would make clients speak TLS to it.
  }
  for (const std::string& file : process.env_files) {
    read_env_file(!file.empty() && file.front() == '/' ? file : fmt::format("{}/{}", dir, file),
                  env);
  }
  for (const auto& [name, value] : process.env) env[name] = value;
  for (const auto& [name, value] : spawn.env) env[name] = value;
  return env;
}

}  // namespace

StartPlan plan_start(const fx::Spawn& spawn, const Environment& own,
                     const std::string& consul_address) {
  const ProcessSpec& process = *spawn.process;
  if (spawn.command.argv.empty()) throw StartRefused("exec", 0, "the command is empty");
  StartPlan start;
  start.account = find_account(process.uid, process.gid);
  PlanBuilder& plan = start.plan;
  plan.uid = start.account.set_uid;
  plan.gid = start.account.set_gid;
  if (start.account.groups)
    plan.groups.assign(start.account.groups->begin(), start.account.groups->end());
  plan.dir = resolved_dir(process);
  plan.chroot = process.chroot;
  if (process.umask) plan.umask = *process.umask;
  const Environment env = environment_of(spawn, own, start.account, plan.dir, consul_address);
  for (const auto& [name, value] : env) plan.env.push_back(fmt::format("{}={}", name, value));
  const auto path = env.find("PATH");
  plan.argv = spawn.command.argv;
  plan.paths = candidate_paths(plan.argv.front(),
                               path == env.end() ? "/usr/local/bin:/bin:/usr/bin" : path->second);
  if (plan.paths.empty()) throw StartRefused("exec", 0, "the command is empty");
  return start;
}

}  // namespace supv
