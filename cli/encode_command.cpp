#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/npy.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "cli/text_lines.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string texts_file, output;
  std::vector<std::string> images;
  bool raw = false;
};

Matrix encode_lines(const engine::Engine& engine, const std::vector<std::string>& texts,
                    bool normalise) {
  engine::EncodedTexts encoded = engine.encode_texts(texts, normalise);
  const auto cut = std::ranges::count_if(encoded.lengths, &engine::TextLength::truncated);
  if (cut > 0) {
    fmt::print(stderr, "vitrine: {} of {} texts were cut to {} tokens\n", cut, texts.size(),
               engine.encoder().info().context_length);
  }
  return std::move(encoded.embeddings);
}

/// Encodes a few images at a time, so that memory does not grow with their number.
Matrix encode_files(const engine::Engine& engine, const std::vector<std::string>& paths,
                    std::uint64_t max_bytes, std::size_t batch, bool normalise) {
  Matrix all(paths.size(), static_cast<std::size_t>(engine.encoder().dimension()));
  for (std::size_t start = 0; start < paths.size(); start += batch) {
    const std::size_t end = std::min(start + batch, paths.size());
    std::vector<std::string> images;
    for (std::size_t i = start; i < end; ++i) {
      images.push_back(read_file(paths[i], max_bytes));
    }
    Matrix part;
    try {
      part = engine.encode_images(images, normalise);
    } catch (const Error&) {
      // Found again one by one, so that the message can name the file.
      for (std::size_t i = start; i < end; ++i) {
        try {
          engine.encode_images(std::span(images).subspan(i - start, 1), normalise);
        } catch (const Error& error) {
          throw Error(error.code(), printable(paths[i], 1000) + ": " + error.what());
        }
      }
      throw;
    }
    std::copy(part.data(), part.data() + part.rows() * part.cols(), all.row(start).data());
  }
  return all;
}

}  // namespace

std::function<int()> add_encode(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  CLI::App* const input = subcommand.add_option_group("input", "Exactly one of");
  input
      ->add_option("--texts-file", options->texts_file,
                   "UTF-8 file with a text a line; a blank line is a text, too")
      ->type_name("FILE");
  input->add_option("--images", options->images, "Image files")->type_name("FILE...");
  input->require_option(1);
  subcommand.add_option("-o,--output", options->output, "File to write")
      ->required()
      ->type_name("OUT.npy");
  subcommand.add_flag("--raw", options->raw,
                      "Leave embeddings as the model gives them; without it "
                      "they have unit length");
  options->settings.add_flag("--batch", "encoder.max_batch", "Texts or images of one pass");
  subcommand.footer(
      "Writes float32 [inputs, dimension], a row an input, in their order.\n"
      "Example: vitrine encode --images a.jpg b.jpg -o images.npy");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::EngineOptions engine_settings = engine_options(config);
    engine_settings.data_dir.clear();    // no catalogue is needed, and none is locked
    engine_settings.query_cache_mb = 0;  // nothing is asked twice
    std::vector<std::string> texts;
    if (options->images.empty()) {
      texts = read_lines(options->texts_file);
    }
    const engine::Engine engine(engine_settings);
    const Matrix embeddings =
        options->images.empty()
            ? encode_lines(engine, texts, !options->raw)
            : encode_files(engine, options->images, engine_settings.image_limits.max_bytes,
                           static_cast<std::size_t>(config.encoder.max_batch), !options->raw);
    write_npy(options->output, embeddings);
    fmt::print("{}: float32 [{}, {}]\n", options->output, embeddings.rows(), embeddings.cols());
    return 0;
  };
}

}  // namespace vitrine::cli
