#include "engine/update_encoder.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "encoder/image_header.h"
#include "engine/vectors.h"

namespace vitrine::engine {
namespace {

using storage::EmbeddingKind;

/// Bounds the prepared images that are held at once.
constexpr std::size_t kImagesAtOnce = 32;

class Preparation {
 public:
  Preparation(const UpdateTools& tools, const Catalog& catalog)
      : tools_(tools), catalog_(catalog) {}

  std::vector<PreparedUpdate> run(std::span<const ProductUpdate> updates) {
    check_ids(updates);
    prepared_.resize(updates.size());
    for (std::size_t i = 0; i < updates.size(); ++i) {
      naming(updates[i].id, [&] { take(updates[i], prepared_[i]); });
      if (images_.size() >= kImagesAtOnce) encode_images();
    }
    encode_images();
    encode_captions();
    return std::move(prepared_);
  }

 private:
  /// What must be encoded, once for all updates that have it.
  struct Missing {
    std::vector<PreparedUpdate*> updates;
    std::optional<encoder::Image> image;
    std::string text;
  };

  template <typename Work>
  static void naming(const std::string& id, const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("product \"{}\": {}", printable(id), error.what()));
    }
  }

  static void check_ids(std::span<const ProductUpdate> updates) {
    if (updates.empty() || updates.size() > kMaxUpdates) {
      throw invalid_argument(fmt::format("{} products are to be updated; 1 to {} can be at a time",
                                         updates.size(), kMaxUpdates));
    }
    std::set<std::string_view> ids;
    for (const ProductUpdate& update : updates) {
      if (const std::string fault = storage::find_new_id_fault(update.id); !fault.empty()) {
        throw invalid_argument(fault);
      }
      if (!ids.insert(update.id).second) {
        throw invalid_argument(
            fmt::format("product \"{}\" is updated twice at a time", printable(update.id)));
      }
    }
  }

  void take(const ProductUpdate& given, PreparedUpdate& update) {
    // The whole product is not known before it is written; what is left out cannot be at fault.
    const storage::Product known{given.id, "", given.caption.value_or("-"),
                                 given.attributes.value_or(nlohmann::json::object())};
    if (const std::string fault = storage::find_fault(known, storage::ImageName::kOptional);
        !fault.empty()) {
      throw invalid_argument(fault);
    }
    update.id = given.id;
    update.caption = given.caption;
    update.attributes = given.attributes;
    update.image_embedding = unit_vector(given.image_embedding, "the image embedding");
    update.caption_embedding = unit_vector(given.caption_embedding, "the caption embedding");
    take_image(given, update);
    take_caption(update);
  }

  std::optional<std::vector<float>> unit_vector(const std::optional<std::vector<float>>& given,
                                                std::string_view what) const {
    if (!given) return std::nullopt;
    const auto dimension = static_cast<std::size_t>(tools_.encoder.dimension());
    if (given->size() != dimension) {
      throw invalid_argument(
          fmt::format("{} has {} values; the encoder's have {}", what, given->size(), dimension));
    }
    std::vector<float> unit = *given;
    if (const std::string fault = make_unit(unit); !fault.empty()) {
      throw invalid_argument(fmt::format("{} has no direction: {}", what, fault));
    }
    return unit;
  }

  /// What the caller names and is not there is the caller's mistake; that a catalog or product is
  /// not there says something else.
  std::string source_image(const std::string& name) const {
    try {
      return catalog_.read_source_image(name);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      throw invalid_argument(error.what());
    }
  }

  void take_image(const ProductUpdate& given, PreparedUpdate& update) {
    if (given.image && given.image_bytes) {
      throw invalid_argument("an image is given both by name and as a file; give one of them");
    }
    std::string bytes;
    if (given.image) {
      if (given.image->starts_with("upload:")) {
        throw invalid_argument("image names that begin with \"upload:\" are the program's own");
      }
      bytes = source_image(*given.image);
      update.image = given.image;
    } else if (given.image_bytes) {
      bytes = *given.image_bytes;
      if (bytes.size() > tools_.image_limits.max_bytes) {
        throw resource_exhausted(fmt::format("the image has {} bytes; at most {} are taken",
                                             bytes.size(), tools_.image_limits.max_bytes));
      }
    } else {
      return;
    }
    const Sha256Digest digest = sha256(bytes);
    if (update.image_embedding) {
      encoder::check_image_is_complete(bytes, encoder::read_image_header(bytes));
    } else if (const auto known = images_.find(digest); known != images_.end()) {
      known->second.updates.push_back(&update);
    } else if (auto embedding = cached(EmbeddingKind::kImage, digest)) {
      update.image_embedding = std::move(embedding);
    } else {
      const ComputeSlots::Slot slot(tools_.slots);
      images_[digest] = {{&update},
                         tools_.encoder.prepare(encoder::decode_image(bytes, tools_.image_limits,
                                                                      tools_.image_options)),
                         ""};
    }
    if (given.image_bytes) {
      update.image = storage::upload_name(digest);
      update.upload = storage::Upload{digest, std::move(bytes)};
    }
  }

  void take_caption(PreparedUpdate& update) {
    if (!update.caption || update.caption_embedding) return;
    if (const auto row = catalog_.row_of(update.id);
        row && catalog_.products({&*row, 1}).front().caption == *update.caption) {
      update.caption_embedding = catalog_.vector(Target::kCaption, *row);
      return;
    }
    const Sha256Digest digest = sha256(*update.caption);
    if (const auto known = captions_.find(digest); known != captions_.end()) {
      known->second.updates.push_back(&update);
    } else if (auto embedding = cached(EmbeddingKind::kText, digest)) {
      update.caption_embedding = std::move(embedding);
    } else {
      captions_[digest] = {{&update}, std::nullopt, *update.caption};
    }
  }

  /// Of the embedding cache, at unit length; a damaged entry counts as absent.
  std::optional<std::vector<float>> cached(EmbeddingKind kind, const Sha256Digest& digest) const {
    try {
      auto found =
          std::move(tools_.database
                        .get_embeddings(tools_.encoder.fingerprint(), kind, {&digest, 1},
                                        static_cast<std::size_t>(tools_.encoder.dimension()))
                        .front());
      if (found && normalise_row(*found)) return found;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorruption) throw;
      spdlog::warn("encoding anew what the embedding cache cannot give: {}", error.what());
    }
    return std::nullopt;
  }

  void encode_images() {
    if (images_.empty()) return;
    std::vector<encoder::Image> batch;
    for (auto& [digest, missing] : images_) batch.push_back(std::move(*missing.image));
    keep(EmbeddingKind::kImage, images_,
         tools_.batching.encode_images(std::move(batch), BatchingEncoder::Traffic::kIndexing),
         &PreparedUpdate::image_embedding);
    images_.clear();
  }

  void encode_captions() {
    if (captions_.empty()) return;
    std::vector<encoder::TokenizedText> batch;
    {
      const ComputeSlots::Slot slot(tools_.slots);
      for (const auto& [digest, missing] : captions_) {
        batch.push_back(tools_.encoder.tokenize(missing.text));
      }
    }
    keep(EmbeddingKind::kText, captions_,
         tools_.batching.encode_texts(std::move(batch), BatchingEncoder::Traffic::kIndexing),
         &PreparedUpdate::caption_embedding);
  }

  /// encoded: row i of what is i-th in `missing`.
  void keep(EmbeddingKind kind, std::map<Sha256Digest, Missing>& missing, const Matrix& encoded,
            std::optional<std::vector<float>> PreparedUpdate::*embedding) {
    std::vector<Sha256Digest> digests;
    for (auto& [digest, wanted] : missing) {
      const auto row = encoded.row(digests.size());
      std::vector<float> unit(row.begin(), row.end());
      if (!normalise_row(unit)) {
        throw invalid_argument(fmt::format("product \"{}\": the encoder gave no finite embedding",
                                           printable(wanted.updates.front()->id)));
      }
      for (PreparedUpdate* update : wanted.updates) update->*embedding = unit;
      digests.push_back(digest);
    }
    tools_.database.put_embeddings(tools_.encoder.fingerprint(), kind, digests, encoded);
  }

  const UpdateTools& tools_;
  const Catalog& catalog_;
  std::vector<PreparedUpdate> prepared_;
  std::map<Sha256Digest, Missing> images_;
  std::map<Sha256Digest, Missing> captions_;
};

}  // namespace

std::vector<PreparedUpdate> prepare_updates(const UpdateTools& tools, const Catalog& catalog,
                                            std::span<const ProductUpdate> updates) {
  return Preparation(tools, catalog).run(updates);
}

}  // namespace vitrine::engine
