#include <fmt/format.h>

#include <atomic>
#include <memory>

#include "cli/commands.h"
#include "cli/failures.h"
#include "cli/interruption.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "cli/stage_progress.h"
#include "storage/database.h"

namespace vitrine::cli {
namespace {

std::string imported(std::uint64_t count) {
  return count > 0 ? fmt::format(", {} from a file of vectors", count) : "";
}

void print(const std::string& catalog, const engine::IndexReport& report) {
  fmt::print(
      "catalog {}: {} of {} products indexed in {:.1f} s, generation {}\n"
      "  images    {} encoded, {} from the cache{}\n"
      "  captions  {} encoded, {} from the cache{}\n"
      "  content   {}\n",
      catalog, report.indexed, report.products, report.seconds, report.generation, report.encoded,
      report.cached, imported(report.imported), report.captions_encoded, report.captions_cached,
      imported(report.captions_imported), report.content_hash);
  print_failures(report.failed, report.failures);
}

/// Without a word about the index, a catalog that was tuned stays so.
void keep_tuned_index(const engine::Engine& engine, engine::IndexRequest& request) {
  for (const engine::CatalogSummary& summary : engine.catalogs()) {
    if (summary.name != request.name || summary.generation == 0) continue;
    const engine::IndexRequest before = engine.catalog(request.name)->request();
    if (!before.tuned) return;
    request.index = before.index;
    request.search = before.search;
    request.tuned = true;
    fmt::print(
        stderr,
        "vitrine: the {} index that was tuned is kept; --kind and its parameters choose another\n",
        before.index.kind);
  }
}

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string catalog, file, images;
  storage::VectorFiles vectors;
  bool strict = false;
};

}  // namespace

std::function<int()> add_index(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("catalog", options->catalog, "Name of the catalogue: letters, digits, _ -")
      ->required();
  subcommand
      .add_option("--file", options->file,
                  "Catalogue file (.json, .jsonl, .ndjson or .csv): id, image, caption, and any\n"
                  "further attributes")
      ->required()
      ->type_name("FILE");
  subcommand
      .add_option("--images", options->images,
                  "Folder that image names are relative to (default: the catalogue file's)")
      ->type_name("DIR");
  CLI::Option* const image_vectors =
      subcommand
          .add_option(
              "--image-vectors", options->vectors.images,
              "Matrix [records, dimension], float32 or float16, whose row i is the embedding\n"
              "of record i's image: no image is read or encoded, nor need there be one")
          ->type_name("FILE.npy");
  subcommand
      .add_option("--caption-vectors", options->vectors.captions,
                  "The same of the captions (default: they are encoded)")
      ->type_name("FILE.npy")
      ->needs(image_vectors);
  subcommand
      .add_option(
          "--ids", options->vectors.ids,
          "With --image-vectors: ids, one a line, in the order of the rows, where it is not\n"
          "the catalogue file's")
      ->type_name("FILE")
      ->needs(image_vectors);
  options->settings.add_flag("--kind", "index.kind", "Kind of index: flat, ivf, ivf_pq or hnsw");
  options->settings.add_flag("--nlist", "index.nlist",
                             "ivf, ivf_pq: clusters; 0: about 4 * sqrt(products)");
  options->settings.add_flag("--hnsw-m", "index.hnsw_m", "hnsw: links of a node");
  options->settings.add_flag("--ef-construction", "index.ef_construction",
                             "hnsw: beam width while building");
  options->settings.add_flag("--pq-bytes", "index.pq_bytes", "ivf_pq: bytes a code");
  options->settings.add_flag("--batch", "encoder.max_batch", "Images encoded in one pass");
  subcommand.add_flag("--strict", options->strict,
                      "Stop at the first product that cannot be indexed");
  subcommand.footer(
      "A product that cannot be indexed is listed with its reason and the rest goes on. Images "
      "and\n"
      "captions that were encoded before are not encoded again. Ctrl-C stops; what was encoded is\n"
      "kept, and the catalogue stays as it was.\n"
      "Example: vitrine index shop --file catalog.jsonl --images photos/ --kind hnsw");
  return [options] {
    check_usage([&] { storage::check_catalog_name(options->catalog); });
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::IndexRequest request;
    request.name = options->catalog;
    request.catalog_file = options->file;
    request.image_source.location = options->images;
    const engine::EngineOptions engine_settings = engine_options(config);
    request.image_source.max_bytes = engine_settings.image_limits.max_bytes;
    if (!options->vectors.images.empty()) request.vectors = options->vectors;
    request.index = index_spec(config);
    request.strict = options->strict;

    engine::Engine engine(engine_settings);
    if (!options->settings.is_given("index")) keep_tuned_index(engine, request);
    const std::atomic<bool>& cancel = catch_interruptions();
    const engine::IndexReport report = with_progress(
        [&](const auto& progress) { return engine.index_catalog(request, progress, &cancel); });
    print(options->catalog, report);
    return 0;
  };
}

}  // namespace vitrine::cli
