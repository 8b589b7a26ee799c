#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace vitrine::encoder {

inline std::filesystem::path fixtures() {
  return std::filesystem::path(VITRINE_SHARED_DIR) / "fixtures";
}

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  return nlohmann::json::parse(read_all(path));
}

/// A complete checkpoint folder: the fixture's own files and the shared tokenizer, as links.
inline void link_checkpoint(const std::filesystem::path& source,
                            const std::filesystem::path& target) {
  std::filesystem::create_directories(target);
  for (const auto& folder : {source, fixtures() / "clip-bpe"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::filesystem::create_symlink(std::filesystem::absolute(entry.path()),
                                      target / entry.path().filename());
    }
  }
}

}  // namespace vitrine::encoder

/// Ends a test as skipped where the golden data is not at hand.
#define VITRINE_NEED_FIXTURES()                                             \
  if (!std::filesystem::exists(::vitrine::encoder::fixtures())) {           \
    GTEST_SKIP() << "no golden data in " << ::vitrine::encoder::fixtures(); \
  }
