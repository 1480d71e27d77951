// SPDX-License-Identifier: Apache-2.0
// The one binary: picks a subcommand and runs it.
#include <cstdio>
#include <exception>
#include <memory>

#include "app/command.h"
#include "base/log.h"

int main(int argc, char** argv) {
  using namespace banyan;
  CLI::App app("Banyan: serves language models. Start with: banyan serve --model-path DIR_OR_GGUF", "banyan");
  app.require_subcommand(1);

  Commands commands;
  RegisterCommands(commands);
  std::function<Status()> run;
  for (const Command& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    auto action = command.declare(*sub);
    sub->callback([&run, action] { run = action; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  Status status = run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "banyan: %s\n", Message(status).c_str());
  return 1;
}
