#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <stdexcept>

namespace vitrine::cli {

/// A command line that parses but makes no sense: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A subcommand. add() declares its flags and answers what runs it, after parsing; that throws
/// Error or UsageError, and returns the exit code.
struct Command {
  const char* name;
  const char* summary;
  std::function<int()> (*add)(CLI::App& subcommand);
};

/// Every subcommand, in the order `vitrine --help` shows them.
std::span<const Command> commands();

std::function<int()> add_index(CLI::App& subcommand);
std::function<int()> add_upsert(CLI::App& subcommand);
std::function<int()> add_delete(CLI::App& subcommand);
std::function<int()> add_rollback(CLI::App& subcommand);
std::function<int()> add_export(CLI::App& subcommand);
std::function<int()> add_serve(CLI::App& subcommand);
std::function<int()> add_search(CLI::App& subcommand);
std::function<int()> add_classify(CLI::App& subcommand);
std::function<int()> add_encode(CLI::App& subcommand);
std::function<int()> add_evaluate(CLI::App& subcommand);
std::function<int()> add_experiment(CLI::App& subcommand);
std::function<int()> add_tune(CLI::App& subcommand);
std::function<int()> add_bench(CLI::App& subcommand);
std::function<int()> add_info(CLI::App& subcommand);

}  // namespace vitrine::cli
