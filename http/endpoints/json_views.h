#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "engine/engine.h"
#include "http/message.h"

/// How the engine's structs look in JSON, where several endpoints or the command line show them.
namespace vitrine::http {

/// Microseconds are as far as the clock can be trusted.
double rounded_ms(double ms);
/// null for an empty text.
nlohmann::json text_or_null(const std::string& text);
/// tokens and truncated.
nlohmann::json text_length_json(const engine::TextLength& length);
nlohmann::json timings_json(const engine::SearchTimings& timings);
/// What the checkpoint is and how it runs.
nlohmann::json encoder_json(const encoder::Encoder& encoder);
nlohmann::json catalog_json(const engine::CatalogSummary& catalog);
nlohmann::json classification_json(const engine::Classification& classification);
/// id, caption, attributes and image_url.
nlohmann::json product_json(const std::string& catalog, const storage::Product& product);
nlohmann::json job_json(const engine::JobStatus& job);
/// 202 with the job and its Location.
Response job_started(const engine::Engine& engine, const std::string& id);
/// The id clients know the checkpoint by: the name of its folder.
std::string model_id(const engine::Engine& engine);

}  // namespace vitrine::http
