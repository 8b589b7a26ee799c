#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <stdexcept>

#include "base/error.h"

namespace vitrine::cli {

/// A command line that parses but makes no sense: exit code 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs work(), which looks at nothing but options: its InvalidArgument is a UsageError.
template <class Work>
auto check_usage(const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    throw UsageError(error.what());
  }
}

/// For an option that may be repeated: it takes one value each time. CLI11 would give it every word
/// up to the next flag, the catalogue's name among them.
CLI::Option* one_value_each(CLI::Option* option);

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
