#include "cli/settings.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "cli/shipped_files.h"

namespace vitrine::cli {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1024} * 1024;
constexpr std::uint64_t kMegapixel = 1'000'000;

std::string model_folder(const config::Config& config) {
  if (!config.encoder.model.empty()) {
    return config.encoder.model;
  }
  const auto shipped = find_shipped("models/fashion-mini");
  if (!shipped) {
    throw not_found(
        "the checkpoint that comes with the program, models/fashion-mini, is not there; name one "
        "with --model, VITRINE_ENCODER_MODEL or encoder.model");
  }
  return shipped->string();
}

}  // namespace

Settings::Settings(CLI::App& subcommand) : subcommand_(subcommand) {
  subcommand_.add_option("--config", file_, "Configuration file (default: the one of the program)")
      ->type_name("FILE");
  add_flag("--data-dir", "storage.data_dir", "Folder of everything the program writes");
  add_flag("--model", "encoder.model", "Checkpoint folder in Hugging Face's layout");
  add_flag("--precision", "encoder.precision", "auto, float32, bfloat16 or int8");
  add_flag("--kernels", "encoder.kernels", "Instruction set; auto: the best of the CPU");
  add_flag("--threads", "encoder.threads", "Cores one encoding uses; 0: all of them");
  add_flag("--apply-exif-orientation", "encoder.apply_exif_orientation",
           "Turn pictures upright, as their EXIF orientation says");
  add_flag("--alpha-background", "encoder.alpha_background",
           "Colour behind transparent pixels, #rrggbb");
}

void Settings::add_flag(const std::string& flag, const std::string& key, const std::string& help) {
  flags_.push_back(std::make_unique<Flag>(Flag{key, flag, ""}));
  std::string fallback;
  for (const auto& [name, value] : config::settings_of(config::Config{})) {
    if (name == key) {
      fallback = value;
    }
  }
  subcommand_.add_option(flag, flags_.back()->value, help + " [" + key + "]")
      ->type_name(fallback.empty() ? "VALUE" : fallback)
      ->check(CLI::Validator(
          [key](std::string& value) { return config::why_invalid(key, value).value_or(""); }, ""));
}

std::optional<std::filesystem::path> Settings::file() const {
  if (!file_.empty()) {
    return file_;
  }
  const config::Environment environment = config::process_environment();
  const auto named = environment.find(config::kFileVariable);
  if (named != environment.end()) {
    return named->second;
  }
  return find_shipped("config/vitrine.toml");
}

bool Settings::is_given(const std::string& section) const {
  return std::ranges::any_of(flags_, [&](const auto& flag) {
    return flag->key.starts_with(section + ".") && subcommand_.count(flag->name) > 0;
  });
}

config::Config Settings::load() const {
  std::vector<config::Override> overrides;
  for (const auto& flag : flags_) {
    if (subcommand_.count(flag->name) > 0) {
      overrides.push_back({flag->key, flag->value, flag->name});
    }
  }
  return config::load_config(file(), config::process_environment(), overrides);
}

encoder::EncoderOptions encoder_options(const config::Config& config) {
  encoder::EncoderOptions options;
  options.model = model_folder(config);
  options.threads = config.encoder.threads;
  options.max_batch = config.encoder.max_batch;
  options.image.apply_exif_orientation = config.encoder.apply_exif_orientation;
  options.image.alpha_background = config.encoder.alpha_background;
  options.precision = encoder::parse_precision(config.encoder.precision);
  options.kernels = config.encoder.kernels;
  options.device = encoder::parse_device(config.encoder.device);
  return options;
}

engine::EngineOptions engine_options(const config::Config& config) {
  engine::EngineOptions options;
  options.data_dir = config.storage.data_dir;
  options.encoder = encoder_options(config);
  options.image_limits.max_bytes = static_cast<std::uint64_t>(config.encoder.image_max_mb) * kMiB;
  options.image_limits.max_pixels =
      static_cast<std::uint64_t>(config.encoder.image_max_megapixels) * kMegapixel;
  options.index_device = index::parse_device_preference(config.index.device);
  options.keep_generations = config.storage.keep_generations;
  options.compute_threads = config.server.compute_threads;
  options.max_waiting = config.encoder.max_waiting;
  options.query_cache_mb = config.encoder.query_cache_mb;
  options.merge_size = config.updates.merge_size;
  options.merge_age_sec = config.updates.merge_age_sec;
  options.max_unmerged = config.updates.max_unmerged;
  return options;
}

http::ServerOptions server_options(const config::Config& config) {
  http::ServerOptions options;
  options.address = config.server.address;
  options.port = config.server.port;
  options.io_threads = config.server.io_threads;
  options.request_threads = config.server.request_threads;
  options.max_queued = config.server.max_queued;
  options.max_body_mb = config.server.max_body_mb;
  options.max_buffered_mb = config.server.max_buffered_mb;
  options.max_header_kb = config.server.max_header_kb;
  options.max_connections = config.server.max_connections;
  options.header_timeout_sec = config.server.header_timeout_sec;
  options.transfer_timeout_sec = config.server.transfer_timeout_sec;
  options.idle_timeout_sec = config.server.idle_timeout_sec;
  options.drain_timeout_sec = config.server.drain_timeout_sec;
  options.admin_token = config.server.admin_token;
  options.cors_origins = config.server.cors_origins;
  options.access_log = config.server.access_log;
  return options;
}

index::IndexSpec index_spec(const config::Config& config) {
  index::IndexSpec spec;
  spec.kind = config.index.kind;
  spec.nlist = config.index.nlist;
  spec.hnsw_m = config.index.hnsw_m;
  spec.ef_construction = config.index.ef_construction;
  spec.pq_bytes = config.index.pq_bytes;
  return spec;
}

}  // namespace vitrine::cli
