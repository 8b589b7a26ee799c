#pragma once

#include <filesystem>
#include <memory>

namespace faiss {
struct Index;
}

namespace vitrine::index {

/// The file is what FAISS writes, then a trailer of 56 bytes: 16 of magic, the size of FAISS's part
/// (8, little endian), and the SHA-256 (32) of all bytes before it. FAISS reads from the front and
/// stops at its own end, so that the trailer is invisible to it; a checksum in the same file can
/// neither get lost nor fall out of step with it.

/// Atomic and durable; the index is streamed, not copied. Throws as VectorIndex::save().
void write_faiss_file(const faiss::Index& index, const std::filesystem::path& path);

/// Verifies the trailer over the whole file before FAISS parses: FAISS allocates what a damaged
/// header asks for. Throws NotFound or Corruption. The index is not checked any further.
std::unique_ptr<faiss::Index> read_faiss_file(const std::filesystem::path& path);

}  // namespace vitrine::index
