// The parts of the program that can be tested without running it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/file.h"
#include "cli/progress_bar.h"
#include "cli/settings.h"
#include "cli/shipped_files.h"
#include "cli/text_lines.h"

namespace vitrine::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ProgressText, TellsCountShareRateAndTimeLeft) {
  EXPECT_EQ(progress_text(250, 1000, 2.5, 0), "250/1000   25%  100/s  0:08 left");
  EXPECT_EQ(progress_text(5, 10, 1, 10), "[=====>    ]  5/10   50%  5.0/s  0:01 left");
  EXPECT_EQ(progress_text(10, 10, 1, 4), "[====]  10/10  100%  10/s");
  EXPECT_EQ(progress_text(1, 10801, 1, 0), "1/10801    0%  1.0/s  3:00:00 left");
}

TEST(ProgressText, BearsUnknownTotalsAndNoTime) {
  EXPECT_EQ(progress_text(7, 0, 2, 30), "7  3.5/s");
  EXPECT_EQ(progress_text(0, 10, 0, 0), "0/10    0%  0.0/s");
  EXPECT_EQ(progress_text(11, 10, 1, 0), "11/10  100%  11/s");
}

TEST(ProgressBar, RedrawsOneLineOnATerminal) {
  std::ostringstream out;
  ProgressBar bar(out, true, "encoding");
  const ProgressBar::Clock::time_point start{};
  bar.update(0, 100, start);
  bar.update(1, 100, start + milliseconds(50));  // too soon to draw again
  EXPECT_EQ(out.str(), "");
  bar.update(10, 100, start + seconds(1));
  bar.update(100, 100, start + seconds(2));
  bar.finish(start + seconds(2));
  EXPECT_THAT(out.str(), ::testing::StartsWith("\rencoding  [===>"));
  EXPECT_THAT(out.str(), ::testing::EndsWith("\n"));
  EXPECT_THAT(out.str(), ::testing::HasSubstr("0:09 left"));
}

TEST(ProgressBar, WritesFewPlainLinesElsewhere) {
  std::ostringstream out;
  ProgressBar bar(out, false, "encoding");
  const ProgressBar::Clock::time_point start{};
  for (int second = 0; second <= 10; ++second) {
    bar.update(static_cast<std::size_t>(second), 10, start + seconds(second));
  }
  bar.finish(start + seconds(10));
  EXPECT_EQ(out.str(),
            "encoding  5/10   50%  1.0/s  0:05 left\n"
            "encoding  10/10  100%  1.0/s\n");
}

TEST(ShippedFiles, AreFoundAboveABuildAndInTheShareFolder) {
  TemporaryDirectory folder;
  const auto root = folder.path();
  EXPECT_EQ(find_shipped("models/m", root / "build/release/vitrine"), std::nullopt);
  std::filesystem::create_directories(root / "prefix/share/vitrine/models/m");
  EXPECT_EQ(find_shipped("models/m", root / "prefix/bin/vitrine"),
            root / "prefix/share/vitrine/models/m");
  std::filesystem::create_directories(root / "models/m");
  EXPECT_EQ(find_shipped("models/m", root / "build/release/vitrine"), root / "models/m");
}

TEST(TextLines, PassOverAByteOrderMarkAndKeepBlankLines) {
  const TemporaryDirectory folder;
  const std::string file = folder.path() / "texts.txt";
  const std::string mark = "\xef\xbb\xbf";
  std::ofstream(file, std::ios::binary) << mark << "a dress\r\n\n \n" << mark << "b";
  EXPECT_EQ(read_lines(file), (std::vector<std::string>{"a dress", "", " ", mark + "b"}));
}

TEST(ConfigurationDefaults, AreThoseOfTheFoldersTheyConfigure) {
  config::Config config;
  config.encoder.model = "model";
  const engine::EngineOptions engine = engine_options(config);
  const engine::EngineOptions engine_defaults;
  EXPECT_EQ(engine.keep_generations, engine_defaults.keep_generations);
  EXPECT_EQ(engine.encoder.threads, engine_defaults.encoder.threads);
  EXPECT_EQ(engine.encoder.max_batch, engine_defaults.encoder.max_batch);
  EXPECT_EQ(engine.encoder.image.apply_exif_orientation,
            engine_defaults.encoder.image.apply_exif_orientation);
  EXPECT_EQ(engine.encoder.image.alpha_background, engine_defaults.encoder.image.alpha_background);
  EXPECT_EQ(engine.image_limits.max_bytes, engine_defaults.image_limits.max_bytes);
  EXPECT_EQ(engine.image_limits.max_pixels, engine_defaults.image_limits.max_pixels);

  const index::IndexSpec spec = index_spec(config);
  const index::IndexSpec spec_defaults;
  EXPECT_EQ(spec.kind, spec_defaults.kind);
  EXPECT_EQ(spec.nlist, spec_defaults.nlist);
  EXPECT_EQ(spec.hnsw_m, spec_defaults.hnsw_m);
  EXPECT_EQ(spec.ef_construction, spec_defaults.ef_construction);
  EXPECT_EQ(spec.pq_bytes, spec_defaults.pq_bytes);
  EXPECT_EQ(config.search.nprobe, 0);  // as the catalogue was tuned
  EXPECT_EQ(config.search.ef_search, 0);
  EXPECT_EQ(config.search.rescore, 0);
  EXPECT_EQ(config.search.limit, engine::SearchRequest{}.limit);

  const http::ServerOptions server = server_options(config);
  const http::ServerOptions server_defaults;
  EXPECT_EQ(server.address, server_defaults.address);
  EXPECT_EQ(server.port, server_defaults.port);
  EXPECT_EQ(server.io_threads, server_defaults.io_threads);
  EXPECT_EQ(server.request_threads, server_defaults.request_threads);
  EXPECT_EQ(server.max_queued, server_defaults.max_queued);
  EXPECT_EQ(server.max_body_mb, server_defaults.max_body_mb);
  EXPECT_EQ(server.max_buffered_mb, server_defaults.max_buffered_mb);
  EXPECT_EQ(server.max_header_kb, server_defaults.max_header_kb);
  EXPECT_EQ(server.max_connections, server_defaults.max_connections);
  EXPECT_EQ(server.header_timeout_sec, server_defaults.header_timeout_sec);
  EXPECT_EQ(server.transfer_timeout_sec, server_defaults.transfer_timeout_sec);
  EXPECT_EQ(server.idle_timeout_sec, server_defaults.idle_timeout_sec);
  EXPECT_EQ(server.drain_timeout_sec, server_defaults.drain_timeout_sec);
  EXPECT_EQ(server.admin_token, server_defaults.admin_token);
  EXPECT_EQ(server.access_log, server_defaults.access_log);
}

}  // namespace
}  // namespace vitrine::cli
