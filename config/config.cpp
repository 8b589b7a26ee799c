#include "config/config.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "config/settings.h"

namespace vitrine::config {
namespace {

void require_between(const char* key, int value, int lowest, int highest) {
  if (value < lowest || value > highest) {
    throw invalid_argument(std::string(key) + " is " + std::to_string(value) +
                           "; valid: " + std::to_string(lowest) + " to " + std::to_string(highest));
  }
}

void require_one_of(const char* key, const std::string& value,
                    std::initializer_list<std::string_view> choices) {
  std::string valid;
  for (const std::string_view choice : choices) {
    if (choice == value) {
      return;
    }
    valid += (valid.empty() ? "" : ", ") + std::string(choice);
  }
  throw invalid_argument(std::string(key) + " is \"" + printable(value) + "\"; valid: " + valid);
}

void require_not_empty(const char* key, const std::string& value) {
  if (value.empty()) {
    throw invalid_argument(std::string(key) + " is empty; it must have a value");
  }
}

void require_colour_or_empty(const char* key, const std::string& value) {
  constexpr std::string_view digits = "0123456789abcdefABCDEF";
  const bool colour = value.size() == 7 && value[0] == '#' &&
                      value.find_first_not_of(digits, 1) == std::string::npos;
  if (!colour && !value.empty()) {
    throw invalid_argument(std::string(key) + " is \"" + printable(value) +
                           "\"; valid: a colour such as \"#ffffff\", or \"\"");
  }
}

}  // namespace

void EncoderConfig::validate() const {
  require_between("encoder.threads", threads, 0, 1024);
  require_between("encoder.max_batch", max_batch, 1, 1024);
  require_one_of("encoder.precision", precision, {"auto", "float32", "bfloat16", "int8"});
  require_one_of("encoder.kernels", kernels,
                 {"auto", "portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx"});
  require_one_of("encoder.device", device, {"auto", "cpu", "cuda"});
  require_between("encoder.max_waiting", max_waiting, 1, 1000000);
  require_between("encoder.query_cache_mb", query_cache_mb, 0, 65536);
  require_between("encoder.image_max_mb", image_max_mb, 1, 4096);
  require_between("encoder.image_max_megapixels", image_max_megapixels, 1, 4096);
  require_colour_or_empty("encoder.alpha_background", alpha_background);
}

void StorageConfig::validate() const {
  require_not_empty("storage.data_dir", data_dir);
  require_between("storage.keep_generations", keep_generations, 1, 100);
}

void IndexConfig::validate() const {
  require_one_of("index.kind", kind, {"flat", "ivf", "ivf_pq", "hnsw"});
  require_between("index.nlist", nlist, 0, 1000000);
  require_between("index.hnsw_m", hnsw_m, 2, 256);
  require_between("index.ef_construction", ef_construction, 1, 4096);
  require_between("index.pq_bytes", pq_bytes, 1, 128);
  require_one_of("index.device", device, {"auto", "cpu", "cuda"});
}

void SearchConfig::validate() const {
  require_between("search.limit", limit, 1, 1000);
  require_between("search.nprobe", nprobe, 0, 1000000);
  require_between("search.ef_search", ef_search, 0, 10000);
  require_between("search.rescore", rescore, 0, 100);
}

void UpdatesConfig::validate() const {
  require_between("updates.merge_size", merge_size, 0, 10000000);
  require_between("updates.merge_age_sec", merge_age_sec, 0, 31536000);
  require_between("updates.max_unmerged", max_unmerged, 1, 10000000);
}

void ServerConfig::validate() const {
  require_not_empty("server.address", address);
  require_between("server.port", port, 0, 65535);
  require_between("server.io_threads", io_threads, 1, 64);
  require_between("server.request_threads", request_threads, 1, 1024);
  require_between("server.compute_threads", compute_threads, 0, 1024);
  require_between("server.max_queued", max_queued, 1, 100000);
  require_between("server.max_body_mb", max_body_mb, 1, 1024);
  require_between("server.max_buffered_mb", max_buffered_mb, 1, 65536);
  require_between("server.max_header_kb", max_header_kb, 1, 1024);
  require_between("server.max_connections", max_connections, 1, 100000);
  require_between("server.header_timeout_sec", header_timeout_sec, 1, 3600);
  require_between("server.transfer_timeout_sec", transfer_timeout_sec, 1, 3600);
  require_between("server.idle_timeout_sec", idle_timeout_sec, 1, 86400);
  require_between("server.drain_timeout_sec", drain_timeout_sec, 0, 3600);
  if (admin_token.size() > 1024 || std::any_of(admin_token.begin(), admin_token.end(),
                                               [](char c) { return c < 0x21 || c > 0x7e; })) {
    throw invalid_argument(
        "server.admin_token is longer than 1024 characters or holds others than visible ASCII");
  }
}

void LogConfig::validate() const {
  require_one_of("log.level", level, {"debug", "info", "warn", "error"});
}

void Config::validate_sections() const {
  encoder.validate();
  storage.validate();
  index.validate();
  search.validate();
  updates.validate();
  server.validate();
  log.validate();
}

void Config::validate() const {
  validate_sections();
  if (server.max_buffered_mb < server.max_body_mb) {
    throw invalid_argument("server.max_buffered_mb is " + std::to_string(server.max_buffered_mb) +
                           ", less than server.max_body_mb, which is " +
                           std::to_string(server.max_body_mb));
  }
  if (updates.merge_size > updates.max_unmerged) {
    throw invalid_argument("updates.merge_size is " + std::to_string(updates.merge_size) +
                           ", more than updates.max_unmerged, which is " +
                           std::to_string(updates.max_unmerged));
  }
}

namespace {
std::string as_text(int value) { return std::to_string(value); }
std::string as_text(bool value) { return value ? "true" : "false"; }
std::string as_text(const std::string& value) { return value; }
}  // namespace

std::vector<std::pair<std::string, std::string>> settings_of(const Config& config) {
  std::vector<std::pair<std::string, std::string>> settings;
  visit_settings(config, [&](const char* key, const auto& field) {
    settings.emplace_back(key, as_text(field));
  });
  return settings;
}

}  // namespace vitrine::config
