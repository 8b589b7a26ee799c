#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "base/matrix.h"
#include "encoder/encoder.h"
#include "index/vector_index.h"
#include "storage/product.h"

namespace vitrine::bench {

/// An encoder of catalogs whose embeddings are made up: every input gets the same one.
std::unique_ptr<const encoder::Encoder> made_up_encoder(std::size_t dimension,
                                                        const std::string& fingerprint);

/// The id of a row's product.
std::string made_up_id(std::size_t row);
/// A product of about 200 bytes with a text, a number and a list among its attributes.
storage::Product made_up_product(std::size_t row);

struct BuildTimes {
  double products_s = 0;  ///< records, ids and attributes
  double index_s = 0;     ///< both indices, saved
  double finish_s = 0;    ///< checksums, fsync, manifest, pointer
};

/// Makes vectors the image and caption embeddings of made_up_product()s, as generation 1 of a new
/// catalog below data_dir, which no engine has open.
BuildTimes make_catalog(const std::filesystem::path& data_dir, const std::string& name,
                        MatrixView vectors, const index::IndexSpec& spec,
                        const std::string& fingerprint);

}  // namespace vitrine::bench
