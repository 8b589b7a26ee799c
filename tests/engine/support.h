#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "encoder/encoder.h"
#include "engine/engine.h"

namespace vitrine::engine {

/// An encoder that understands colours: images by their mean colour and brightness in four bands,
/// texts by the colour words in them. Fast, deterministic, and it counts what it is asked.
class ColourEncoder : public encoder::Encoder {
 public:
  static constexpr int kDimension = 8;

  /// fingerprint: one letter, repeated to the right length.
  explicit ColourEncoder(char fingerprint = 'a') : fingerprint_(64, fingerprint) {}

  int dimension() const override { return kDimension; }
  Matrix encode_images(std::span<const encoder::Image> images) const override;
  /// An id is a byte of the text, and a text has at most kContextLength of them.
  static constexpr std::size_t kContextLength = 100;
  encoder::TokenizedText tokenize(std::string_view text) const override;
  Matrix encode_tokenized(std::span<const encoder::TokenizedText> texts) const override;
  float logit_scale() const override { return 20; }
  const std::string& fingerprint() const override { return fingerprint_; }
  encoder::EncoderInfo info() const override { return {}; }

  struct Calls {
    std::atomic<int> images{0};
    std::atomic<int> texts{0};
    /// Called before each batch of images. Set before the encoder is used.
    std::function<void()> before_images;
  };
  /// Outlives the encoder, which an engine owns.
  std::shared_ptr<Calls> calls = std::make_shared<Calls>();

 private:
  const std::string fingerprint_;
};

/// A PNG of one colour with noise from `seed`: images of one colour look alike but differ.
std::string colour_png(const std::string& colour, int seed, int size = 12);

/// Colours that ColourEncoder knows.
const std::vector<std::string>& colours();

/// A catalog in a temporary folder: products.json and images/.
class TestCatalog {
 public:
  /// `count` products "p0", "p1", ... of the colours in turn, each with its own image.
  explicit TestCatalog(int count, int first_seed = 0);

  /// Adds or replaces a product and writes its image.
  void put(const std::string& id, const std::string& colour, int seed);
  /// Adds or replaces a product whose image file has these bytes.
  void put_bytes(const std::string& id, const std::string& image_bytes);
  void set_caption(const std::string& id, const std::string& caption);
  void remove(const std::string& id);
  /// Appends a record as it stands.
  void append(const nlohmann::json& record);
  void write() const;

  IndexRequest request(const std::string& name = "shop", const std::string& kind = "flat") const;
  std::filesystem::path file() const { return folder_.path() / "products.json"; }
  std::filesystem::path images() const { return folder_.path() / "images"; }

 private:
  TemporaryDirectory folder_;
  nlohmann::json records_ = nlohmann::json::array();
};

EngineOptions options_in(const std::filesystem::path& data_dir, int max_batch = 4);

/// An engine with a ColourEncoder, and the encoder's counters.
struct TestEngine {
  explicit TestEngine(const std::filesystem::path& data_dir, char fingerprint = 'a',
                      std::function<void()> before_images = {}, int keep_generations = 2,
                      const std::function<void(EngineOptions&)>& change = {});

  std::shared_ptr<ColourEncoder::Calls> calls;
  std::unique_ptr<Engine> engine;

  Engine* operator->() const { return engine.get(); }
};

SearchRequest text_search(const std::string& text, int limit = 10);
std::vector<std::string> ids_of(const SearchResponse& response);

/// Overwrites a byte in the middle of a file.
void damage(const std::filesystem::path& file);

/// The code and message of the Error that `work` throws; fails the test when it throws none.
struct Thrown {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};
Thrown thrown_by(const std::function<void()>& work);

}  // namespace vitrine::engine
