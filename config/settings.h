#pragma once

#include "config/config.h"

namespace vitrine::config {

/// Calls visit(key, field) for every key. The table that ties names to fields; a field is a
/// std::string, an int or a bool.
template <typename AnyConfig, typename Visitor>
void visit_settings(AnyConfig& config, Visitor&& visit) {
  visit("encoder.model", config.encoder.model);
  visit("encoder.threads", config.encoder.threads);
  visit("encoder.max_batch", config.encoder.max_batch);
  visit("encoder.precision", config.encoder.precision);
  visit("encoder.kernels", config.encoder.kernels);
  visit("encoder.device", config.encoder.device);
  visit("encoder.max_waiting", config.encoder.max_waiting);
  visit("encoder.query_cache_mb", config.encoder.query_cache_mb);
  visit("encoder.image_max_mb", config.encoder.image_max_mb);
  visit("encoder.image_max_megapixels", config.encoder.image_max_megapixels);
  visit("encoder.apply_exif_orientation", config.encoder.apply_exif_orientation);
  visit("encoder.alpha_background", config.encoder.alpha_background);
  visit("storage.data_dir", config.storage.data_dir);
  visit("storage.keep_generations", config.storage.keep_generations);
  visit("index.kind", config.index.kind);
  visit("index.nlist", config.index.nlist);
  visit("index.hnsw_m", config.index.hnsw_m);
  visit("index.ef_construction", config.index.ef_construction);
  visit("index.pq_bytes", config.index.pq_bytes);
  visit("index.device", config.index.device);
  visit("search.limit", config.search.limit);
  visit("search.nprobe", config.search.nprobe);
  visit("search.ef_search", config.search.ef_search);
  visit("search.rescore", config.search.rescore);
  visit("updates.merge_size", config.updates.merge_size);
  visit("updates.merge_age_sec", config.updates.merge_age_sec);
  visit("updates.max_unmerged", config.updates.max_unmerged);
  visit("server.address", config.server.address);
  visit("server.port", config.server.port);
  visit("server.io_threads", config.server.io_threads);
  visit("server.request_threads", config.server.request_threads);
  visit("server.compute_threads", config.server.compute_threads);
  visit("server.max_queued", config.server.max_queued);
  visit("server.max_body_mb", config.server.max_body_mb);
  visit("server.max_buffered_mb", config.server.max_buffered_mb);
  visit("server.max_header_kb", config.server.max_header_kb);
  visit("server.max_connections", config.server.max_connections);
  visit("server.header_timeout_sec", config.server.header_timeout_sec);
  visit("server.transfer_timeout_sec", config.server.transfer_timeout_sec);
  visit("server.idle_timeout_sec", config.server.idle_timeout_sec);
  visit("server.drain_timeout_sec", config.server.drain_timeout_sec);
  visit("server.admin_token", config.server.admin_token);
  visit("server.cors_origins", config.server.cors_origins);
  visit("server.access_log", config.server.access_log);
  visit("log.level", config.log.level);
}

}  // namespace vitrine::config
