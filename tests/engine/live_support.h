#pragma once

#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

namespace vitrine::engine {

/// A direction of ColourEncoder's width, at unit length.
inline std::vector<float> random_unit_vector(std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> vector(ColourEncoder::kDimension);
  double length = 0;
  for (float& value : vector) {
    value = normal(random);
    length += static_cast<double>(value) * value;
  }
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(length));
  return vector;
}

/// An update with both embeddings, so that nothing is encoded. "v" is among the attributes.
inline ProductUpdate precomputed_update(const std::string& id, int version, std::mt19937& random) {
  ProductUpdate update;
  update.id = id;
  update.caption = "version " + std::to_string(version);
  update.attributes = nlohmann::json{{"v", version}};
  update.image_embedding = random_unit_vector(random);
  update.caption_embedding = random_unit_vector(random);
  return update;
}

/// Waits for the job's end.
inline JobStatus await_job(const Engine& engine, const std::string& id) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  JobStatus status = engine.job(id);
  while (status.state == JobState::kRunning && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
    status = engine.job(id);
  }
  return status;
}

}  // namespace vitrine::engine
