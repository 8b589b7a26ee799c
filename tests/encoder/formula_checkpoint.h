#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace vitrine::encoder {

/// The seed of a tensor's random stream.
std::uint64_t formula_seed(std::string_view tensor);
/// Element i of a tensor, as formula.md of the fixtures defines it.
float formula_weight(std::string_view tensor, std::uint64_t i);

/// Writes the ViT-B/32-sized checkpoint of the fixtures, 605 MB of float32, as a complete folder.
/// folder: created. fixtures: the folder that holds vit-b-32-formula/ and clip-bpe/.
void make_formula_checkpoint(const std::filesystem::path& folder,
                             const std::filesystem::path& fixtures);

}  // namespace vitrine::encoder
