#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"
#include "cli/commands.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

int fail(const std::string& message, int exit_code) {
  std::string line = message;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::cerr << "vitrine: " << line << '\n';
  return exit_code;
}

// Where an option may have several values CLI11 takes the value [a,b] for a list of a and b,
// however it is quoted: `vitrine delete shop [17]` would delete 17. Such values are marked before
// CLI11 sees them, by a character that neither ids nor texts have, and the mark is taken off by the
// options.
constexpr char kLiteral = '\x01';

std::vector<std::string> mark_literals(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  for (std::string& argument : arguments) {
    // Alone, or as --option=value.
    const std::size_t value = argument.starts_with("--") ? argument.find('=') + 1 : 0;
    if (argument.substr(value).starts_with('[') && argument.ends_with(']')) {
      argument.insert(value, 1, kLiteral);
    }
  }
  return arguments;
}

void unmark_literals(CLI::App& app) {
  const CLI::Validator unmark(
      [](std::string& value) {
        if (value.starts_with(kLiteral)) value.erase(0, 1);
        return std::string();
      },
      "");
  for (CLI::Option* option : app.get_options()) option->transform(unmark);
  for (CLI::App* part : app.get_subcommands([](const CLI::App*) { return true; })) {
    unmark_literals(*part);
  }
}

int run(int argc, char** argv) {
  // A reader that goes away (a pipe, a client) is an error of one write, not of the program.
  std::signal(SIGPIPE, SIG_IGN);
  vitrine::raise_descriptor_limit();

  CLI::App app(
      "Vitrine turns a product catalogue into a visual search service.\n"
      "Start: vitrine index shop --file catalog.jsonl --images photos/ ; vitrine serve");
  app.name("vitrine");
  app.set_version_flag("--version", std::string("vitrine ") + VITRINE_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Every subcommand has its own --help. Configuration: config/vitrine.toml, VITRINE_*\n"
      "variables, flags; the later wins. Exit codes: 0 done, 2 wrong usage, 1 anything else.");

  std::function<int()> chosen;
  for (const vitrine::cli::Command& command : vitrine::cli::commands()) {
    CLI::App* subcommand = app.add_subcommand(command.name, command.summary);
    subcommand->callback([&chosen, run = command.add(*subcommand)] { chosen = run; });
  }

  unmark_literals(app);
  std::vector<std::string> arguments = mark_literals(argc, argv);
  std::vector<char*> values;
  for (std::string& argument : arguments) values.push_back(argument.data());

  try {
    app.parse(argc, values.data());
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      return app.exit(error);  // --help, --version
    }
    const auto parsed = app.get_subcommands();
    const std::string name = parsed.empty() ? "vitrine" : "vitrine " + parsed.front()->get_name();
    // CLI11 reports the missing subcommand before the word it could not place; name the word.
    const auto unplaced = app.remaining(true);
    const std::string problem = parsed.empty() && !unplaced.empty()
                                    ? "unknown subcommand or option " + unplaced.front()
                                    : error.what();
    return fail(problem + " (see " + name + " --help)", kUsage);
  }

  const int exit_code = chosen();
  if (std::fflush(stdout) != 0) {
    throw vitrine::unavailable("cannot write to stdout: " + std::system_category().message(errno));
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    try {
      return run(argc, argv);
    } catch (const vitrine::cli::UsageError& error) {
      return fail(error.what(), kUsage);
    } catch (const vitrine::Error& error) {
      return fail(error.what(), kFailed);
    } catch (const std::system_error& error) {
      return fail(error.what(), kFailed);
    } catch (const std::bad_alloc&) {
      return fail("out of memory", kFailed);
    } catch (const std::exception& error) {
      return fail(std::string("internal error: ") + error.what(), kFailed);
    }
  } catch (...) {
    return kFailed;  // not even the message could be made
  }
}
