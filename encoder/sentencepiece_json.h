#pragma once

#include <filesystem>

#include "encoder/sentencepiece_model.h"

namespace vitrine::encoder {

/// Reads the unigram model of a tokenizer.json, as transformers writes it for a tokenizer of T5's
/// kind: "▁" before the text and for each space, "</s>" behind it. The pieces that the file lists
/// as added tokens are control pieces, which are never found in a text; the file does not say what
/// they were.
/// Throws as read_file does, Corruption when the file is damaged, and InvalidArgument when its
/// tokenizer works in another way; the message names the file and the field.
SentencePieceModel read_unigram_json(const std::filesystem::path& path);

}  // namespace vitrine::encoder
