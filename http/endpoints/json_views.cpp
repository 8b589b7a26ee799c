#include "http/endpoints/json_views.h"

#include <cmath>
#include <filesystem>

#include "engine/experiment_report.h"
#include "http/json.h"
#include "http/url.h"

namespace vitrine::http {
namespace {

using nlohmann::json;

json progress_json(const engine::IndexProgress& progress) {
  json result = {{"stage", engine::to_string(progress.stage)},
                 {"done", progress.done},
                 {"total", nullptr},
                 {"failed", progress.failed},
                 {"products_per_second", progress.products_per_second},
                 {"eta_seconds", nullptr}};
  if (progress.total) result["total"] = *progress.total;
  if (progress.eta_seconds) result["eta_seconds"] = *progress.eta_seconds;
  return result;
}

json report_json(const engine::IndexReport& report) {
  json failures = json::array();
  for (const engine::FailedProduct& failure : report.failures) {
    failures.push_back(
        {{"id", text_or_null(failure.id)}, {"record", failure.record}, {"reason", failure.reason}});
  }
  return {{"products", report.products},
          {"indexed", report.indexed},
          {"encoded", report.encoded},
          {"cached", report.cached},
          {"imported", report.imported},
          {"captions_encoded", report.captions_encoded},
          {"captions_cached", report.captions_cached},
          {"captions_imported", report.captions_imported},
          {"failed", report.failed},
          {"failures", std::move(failures)},
          {"seconds", report.seconds},
          {"generation", report.generation},
          {"content_hash", report.content_hash}};
}

}  // namespace

json text_or_null(const std::string& text) { return text.empty() ? json() : json(text); }

double rounded_ms(double ms) { return std::round(ms * 1000) / 1000; }

json text_length_json(const engine::TextLength& length) {
  return {{"tokens", length.tokens}, {"truncated", length.truncated}};
}

json timings_json(const engine::SearchTimings& timings) {
  json answer = {{"encode", rounded_ms(timings.encode_ms)},
                 {"search", rounded_ms(timings.search_ms)},
                 {"total", rounded_ms(timings.total_ms)}};
  if (timings.filter_ms > 0) answer["filter"] = rounded_ms(timings.filter_ms);
  return answer;
}

json encoder_json(const encoder::Encoder& encoder) {
  const encoder::EncoderInfo info = encoder.info();
  json answer = {{"architecture", info.architecture},
                 {"format", info.format},
                 {"dimension", info.dimension},
                 {"image_size", info.image_size},
                 {"context_length", info.context_length},
                 {"vocab_size", info.vocab_size},
                 {"parameters", info.parameters},
                 {"precision", info.precision},
                 {"device", info.device},
                 {"kernels", info.kernels},
                 {"threads", info.threads},
                 {"logit_scale", shortest(encoder.logit_scale())},
                 {"fingerprint", encoder.fingerprint()}};
  if (const auto bias = encoder.logit_bias()) answer["logit_bias"] = shortest(*bias);
  return answer;
}

json catalog_json(const engine::CatalogSummary& catalog) {
  return {{"name", catalog.name},
          {"generation", catalog.generation},
          {"products", catalog.products},
          {"sequence", catalog.sequence},
          {"delta_rows", catalog.delta_rows},
          {"tombstones", catalog.tombstones},
          {"index", catalog.index_kind},
          {"index_device", catalog.index_device},
          {"mapped_bytes_per_vector", std::round(catalog.mapped_bytes_per_vector)},
          {"heap_bytes_per_vector", std::round(catalog.heap_bytes_per_vector)},
          {"content_hash", catalog.content_hash},
          {"created_at", catalog.created_at},
          {"encoder_fingerprint", catalog.encoder_fingerprint},
          {"searchable", catalog.searchable},
          {"problem", text_or_null(catalog.problem)}};
}

json classification_json(const engine::Classification& classification) {
  json labels = json::array();
  for (const engine::LabelScore& score : classification.labels) {
    labels.push_back({{"label", score.label},
                      {"probability", shortest(score.probability)},
                      {"similarity", shortest(score.similarity)},
                      {"prompt", text_length_json(score.prompt)}});
  }
  return {{"labels", std::move(labels)}, {"timings_ms", timings_json(classification.timings)}};
}

json product_json(const std::string& catalog, const storage::Product& product) {
  return {{"id", product.id},
          {"caption", product.caption},
          {"attributes", product.attributes},
          {"image_url", "/v1/catalogs/" + percent_encode(catalog) + "/products/" +
                            percent_encode(product.id) + "/image"}};
}

json job_json(const engine::JobStatus& job) {
  json result = {{"id", job.id},
                 {"catalog", job.catalog},
                 {"kind", engine::to_string(job.kind)},
                 {"state", engine::to_string(job.state)},
                 {"progress", progress_json(job.progress)},
                 {"report", nullptr},
                 {"error", text_or_null(job.error)},
                 {"created_at", text_or_null(job.created_at)},
                 {"finished_at", text_or_null(job.finished_at)}};
  if (job.report) result["report"] = report_json(*job.report);
  if (job.experiment) result["report"] = engine::to_json(*job.experiment);
  if (job.tuning) result["report"] = engine::to_json(*job.tuning);
  return result;
}

Response job_started(const engine::Engine& engine, const std::string& id) {
  Response response = json_response(job_json(engine.job(id)), 202);
  response.headers.emplace_back("Location", "/v1/admin/jobs/" + percent_encode(id));
  return response;
}

std::string model_id(const engine::Engine& engine) {
  std::filesystem::path folder =
      std::filesystem::path(engine.encoder().info().model).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  const std::string name = folder.filename().string();
  return name.empty() || name == "." ? "default" : name;
}

}  // namespace vitrine::http
