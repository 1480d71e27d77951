// SPDX-License-Identifier: Apache-2.0
// The one binary: picks a subcommand and runs it.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>

#include "app/command.h"
#include "app/config_file.h"
#include "app/sglang_flags.h"
#include "base/nearest.h"

namespace banyan {
namespace {

int Fail(const Status& status) {
  std::fprintf(stderr, "banyan: %s\n", Message(status).c_str());
  return 1;
}

int Main(std::vector<std::string> args) {
  CLI::App app("Banyan: serves language models. Start with: banyan serve --model-path DIR_OR_GGUF",
               "banyan");
  app.require_subcommand(1);
  Commands commands;
  RegisterCommands(commands);
  std::function<Status()> run;
  std::vector<std::string> names, no_files;
  for (const Command& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    names.push_back(command.name);
    // What is left over is judged by CheckLeftOver, which knows SGLang's flags and what is near.
    sub->allow_extras();
    auto action = command.declare(*sub);
    sub->callback([&run, action] { run = action; });
    if (sub->get_option_no_throw("--model-path") != nullptr) {
      sub->add_option("--config", no_files, "a YAML file of flags; the command line wins over it");
    }
  }
  if (!args.empty() && !args[0].starts_with('-')) {
    if (std::find(names.begin(), names.end(), args[0]) == names.end()) {
      const std::string nearest = Nearest(args[0], names);
      return Fail(InvalidArgument("there is no command '{}'{}", args[0],
                                  nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
    }
    const CLI::App* const named = app.get_subcommand(args[0]);
    auto expanded =
        ExpandConfigFile({args.begin() + 1, args.end()}, [named](const std::string& flag) {
          const CLI::Option* const option = named->get_option_no_throw(flag);
          return option != nullptr && option->get_items_expected_max() <= 1;
        });
    if (!expanded.ok()) return Fail(expanded.status());
    args.resize(1);
    args.insert(args.end(), expanded->begin(), expanded->end());
  }
  std::vector<std::string> notes;
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::RequiredError& error) {
    // What is missing may be there, misspelt.
    const auto parsed = app.get_subcommands();
    if (parsed.empty()) return app.exit(error);
    Status status = CheckLeftOver(*parsed[0], parsed[0]->remaining(), notes);
    return status.ok() ? app.exit(error) : Fail(status);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const CLI::App& sub = *app.get_subcommands()[0];
  if (Status status = CheckLeftOver(sub, sub.remaining(), notes); !status.ok()) return Fail(status);
  for (const std::string& note : notes) std::fprintf(stderr, "banyan: %s\n", note.c_str());
  try {
    const Status status = run();
    return status.ok() ? 0 : Fail(status);
  } catch (const std::bad_alloc&) {
    return Fail(ResourceExhausted("out of memory"));
  } catch (const std::exception& error) {
    return Fail(Internal("{}", error.what()));
  }
}

}  // namespace
}  // namespace banyan

int main(int argc, char** argv) { return banyan::Main({argv + 1, argv + argc}); }
