#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "encoder/encoder.h"
#include "engine/engine.h"
#include "http/server.h"

namespace vitrine::cli {

/// The configuration as the command line sees it: the flags that stand for a key of
/// config/vitrine.toml, and where the file is. One a subcommand; shared by its callbacks.
class Settings {
 public:
  /// Adds --config and the flags every subcommand has: --data-dir, --model, --threads,
  /// --apply-exif-orientation, --alpha-background.
  explicit Settings(CLI::App& subcommand);

  /// Adds a flag that sets a key. A bad value is a usage error that names the flag and the key.
  void add_flag(const std::string& flag, const std::string& key, const std::string& help);

  /// Whether a flag was given that sets a key of a section, such as "index".
  bool is_given(const std::string& section) const;

  /// Flags over environment over file over defaults. Reads the file and the environment now.
  config::Config load() const;

  /// The file load() reads: --config, or VITRINE_CONFIG, or the vitrine.toml that comes with the
  /// program, when there is one.
  std::optional<std::filesystem::path> file() const;

 private:
  struct Flag {
    std::string key, name, value;
  };

  CLI::App& subcommand_;
  std::string file_;
  std::vector<std::unique_ptr<Flag>> flags_;  // stable addresses: CLI11 writes into them
};

/// The folders' own option structs, filled from the configuration.
encoder::EncoderOptions encoder_options(const config::Config& config);
engine::EngineOptions engine_options(const config::Config& config);
http::ServerOptions server_options(const config::Config& config);
index::IndexSpec index_spec(const config::Config& config);

}  // namespace vitrine::cli
