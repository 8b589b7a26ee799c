// The real program, run as a user runs it.
#include "program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/base64.h"
#include "cli/commands.h"

namespace vitrine::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint32_t kWhite = 0xffffff, kRed = 0xe01010, kGreen = 0x10c010, kBlue = 0x1010e0;

class TheProgram : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((folder_.path() / name).parent_path());
    std::ofstream(folder_.path() / name, std::ios::binary) << bytes;
  }

  /// shop.jsonl with three products and, when wanted, a fourth whose image is a text.
  void write_shop(bool with_broken) const {
    write("photos/red.bmp", bitmap(64, kWhite, kRed));
    write("photos/green.bmp", bitmap(64, kWhite, kGreen));
    write("photos/blue.bmp", bitmap(64, kWhite, kBlue));
    std::string catalog;
    for (const std::string colour : {"red", "green", "blue"}) {
      catalog += nlohmann::json{{"id", colour},
                                {"image", colour + ".bmp"},
                                {"caption", "a " + colour + " square"},
                                {"colour", colour}}
                     .dump() +
                 "\n";
    }
    if (with_broken) {
      write("photos/text.jpg", "not an image");
      catalog += "{\"id\": \"t1\", \"image\": \"text.jpg\", \"caption\": \"a text\"}\n";
    }
    write("shop.jsonl", catalog);
  }

  Outcome run(const Arguments& arguments, const Variables& variables = {}) const {
    return cli::run(folder_.path(), arguments, variables);
  }

  void index_shop() const {
    write_shop(false);
    const Outcome outcome = run({"index", "shop", "--file", "shop.jsonl", "--images", "photos"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  static void expect_one_line(const std::string& err, const std::string& part) {
    EXPECT_THAT(err, StartsWith("vitrine: "));
    EXPECT_THAT(err, HasSubstr(part));
    EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 1) << err;
  }

  TemporaryDirectory folder_;
};

TEST_F(TheProgram, HelpListsEverySubcommandAndEachHasItsOwn) {
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const Command& command : commands()) {
    EXPECT_THAT(help.out, HasSubstr(command.summary));
    const Outcome own = run({command.name, "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_THAT(own.out, AllOf(HasSubstr(command.summary), HasSubstr("--config"),
                               HasSubstr("Example: vitrine")));
  }
  EXPECT_THAT(run({"--version"}).out, StartsWith("vitrine "));
}

TEST_F(TheProgram, WrongUsageExitsWithTwo) {
  const std::vector<std::pair<Arguments, std::string>> cases{
      {{}, "subcommand"},
      {{"sell"}, "sell"},
      {{"serve", "--prot", "1"}, "--prot"},
      {{"serve", "--port", "70000"}, "server.port is 70000"},
      {{"serve", "--port", "http"}, "\"http\" is not an integer"},
      {{"index", "shop"}, "--file"},
      {{"index", "bad/name", "--file", "shop.jsonl"}, "\"bad/name\""},
      {{"index", "shop", "--file", "shop.jsonl", "--kind", "tree"}, "index.kind is \"tree\""},
      {{"index", "shop", "--file", "shop.jsonl", "--ids", "ids.txt"}, "--image-vectors"},
      {{"search", "shop"}, "--text"},
      {{"search", "shop", "--text", "a", "--limit", "0"}, "search.limit is 0"},
      {{"search", "shop", "--text", "a", "--limit", "1000000"}, "search.limit is 1000000"},
      {{"search", "shop", "--text", "a", "--target", "smell"}, "--target"},
      {{"search", "shop", "--text", "a", "red", "dress"}, "not expected"},
      {{"search", "shop", "--text", "a", "--facet", "colour", "price"}, "price"},
      {{"search", "shop", "--text", " "}, "the text is blank"},
      {{"search", "shop", "--text", "a", "--filter", "{"}, "--filter is not valid JSON"},
      {{"search", "shop", "--text", "a", "--filter", R"({"musn't": []})"}, "musn't"},
      {{"classify", "--image", "a.png", "--labels", "dress", "shirt"}, "shirt"},
      {{"encode", "--texts-file", "a"}, "--output"},
      {{"upsert", "shop"}, "--file"},
      {{"delete", "shop"}, "id"},
      {{"export", "shop"}, "--out"},
      {{"experiment", "shop", "--kinds", "tree"}, "\"tree\""},
      {{"experiment", "shop", "--kinds", "flat", "ivf"}, "ivf"},
      {{"experiment", "shop", "--nprobe", "0"}, "nprobe is 0"},
      {{"experiment", "shop", "--nprobe", "1", "2"}, "not expected"},
      {{"tune", "shop", "--kinds", "tree"}, "\"tree\""},
      {{"tune", "shop", "--recall", "2"}, "recall is 2"},
      {{"tune", "shop", "--memory-mb", "0"}, "memory_mb is 0"},
      {{"evaluate", "shop", "--attribute", "=x"}, "has no name"},
      {{"evaluate", "shop", "--attribute", "colour=a photo"}, "0 gaps"},
      {{"evaluate", "shop", "--query", "a dress"}, "\"a dress\""},
      {{"evaluate", "shop", "--unspoken", "plain", "none"}, "none"},
  };
  for (const auto& [arguments, part] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << part;
    expect_one_line(outcome.err, part);
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(TheProgram, BadConfigurationNamesItself) {
  write("site.toml", "[server]\nprot = 1\n");
  const Outcome key = run({"info", "--config", "site.toml"});
  EXPECT_EQ(key.exit_code, 1);
  expect_one_line(key.err, "site.toml:2: unknown key server.prot; did you mean server.port?");

  write("site.toml", "[index]\nkind = \"tree\"\n");
  expect_one_line(run({"info"}, {{"VITRINE_CONFIG", "site.toml"}}).err,
                  "site.toml:2: index.kind is \"tree\"");
  expect_one_line(run({"info"}, {{"VITRINE_SERVER_PROT", "1"}}).err, "VITRINE_SERVER_PROT");
  expect_one_line(run({"info"}, {{"VITRINE_SERVER_PORT", "x"}}).err, "VITRINE_SERVER_PORT");
  expect_one_line(run({"info"}, {{"VITRINE_SERVER_ADDRESS", "localhost"}}).err, "server.address");
  expect_one_line(run({"info", "--config", "none.toml"}).err, "none.toml");
}

TEST_F(TheProgram, MissingFilesAndCatalogsExitWithOne) {
  const Outcome model = run({"info", "--model", "none"});
  EXPECT_EQ(model.exit_code, 1);
  expect_one_line(model.err, "none");
  const Outcome catalog = run({"search", "none", "--text", "a"});
  EXPECT_EQ(catalog.exit_code, 1);
  expect_one_line(catalog.err, "none");
  const Outcome file = run({"index", "shop", "--file", "none.jsonl"});
  EXPECT_EQ(file.exit_code, 1);
  expect_one_line(file.err, "none.jsonl");
  const Outcome image = run({"classify", "--image", "none.png", "--labels", "a,b"});
  EXPECT_EQ(image.exit_code, 1);
  expect_one_line(image.err, "none.png");
}

TEST_F(TheProgram, OutputThatCannotBeWrittenIsAnError) {
  const std::string command =
      std::string(VITRINE_PROGRAM) + " info > /dev/full 2> " + (folder_.path() / "err").string();
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
  expect_one_line(read_file(folder_.path() / "err", 1 << 20), "No space left");
}

TEST_F(TheProgram, IndexesVectorsInsteadOfImages) {
  write_shop(false);
  ASSERT_EQ(run({"encode", "--images", "photos/red.bmp", "photos/green.bmp", "photos/blue.bmp",
                 "-o", "images.npy"})
                .exit_code,
            0);
  std::filesystem::remove_all(folder_.path() / "photos");
  const Arguments index{"index", "shop", "--file", "shop.jsonl", "--image-vectors", "images.npy"};
  const Outcome outcome = run(index);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("3 of 3 products"));
  EXPECT_THAT(outcome.out, HasSubstr("0 from the cache, 3 from a file of vectors"));
  EXPECT_THAT(outcome.out, HasSubstr("captions  3 encoded"));
  const Outcome found = run({"search", "shop", "--text", "a red square", "--limit", "1"});
  EXPECT_EQ(found.exit_code, 0) << found.err;

  write("images.npy", "PK");
  const Outcome refused = run(index);
  EXPECT_EQ(refused.exit_code, 1);
  expect_one_line(refused.err, "images.npy: it is no .npy file");
}

TEST_F(TheProgram, UpsertsDeletesAndExportsWithoutAServer) {
  index_shop();
  write("changed.jsonl",
        "{\"id\": \"red\", \"price\": 3}\n"
        "{\"id\": \"r2\", \"image\": \"red.bmp\", \"caption\": \"another red square\"}\n"
        "{\"id\": \"r3\", \"image\": \"none.bmp\", \"caption\": \"no square\"}\n");
  const Outcome upserted = run({"upsert", "shop", "--file", "changed.jsonl"});
  EXPECT_EQ(upserted.exit_code, 0) << upserted.err;
  EXPECT_THAT(upserted.out,
              AllOf(HasSubstr("1 products added, 1 changed"), HasSubstr("failed    1"),
                    HasSubstr("record 3, id r3"), HasSubstr("none.bmp")));
  const Outcome strict = run({"upsert", "shop", "--file", "changed.jsonl", "--strict"});
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_THAT(strict.err, HasSubstr("\nvitrine: record 3 (id \"r3\")"));  // after the progress

  const Outcome deleted = run({"delete", "shop", "green"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_THAT(deleted.out, HasSubstr("1 products deleted, 3 left"));
  const Outcome again = run({"delete", "shop", "blue", "green"});
  EXPECT_EQ(again.exit_code, 1);
  expect_one_line(again.err, "green");

  const Outcome exported = run({"export", "shop", "--out", "out"});
  EXPECT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("3 products"));
  EXPECT_EQ(read_file(folder_.path() / "out/ids.txt", 1 << 20), "blue\nred\nr2\n");
  expect_one_line(run({"export", "shop", "--out", "out"}).err, "is not empty");
  const Outcome copied = run({"index", "copy", "--file", "out/catalog.jsonl", "--image-vectors",
                              "out/images.npy", "--caption-vectors", "out/captions.npy"});
  EXPECT_EQ(copied.exit_code, 0) << copied.err;
  const auto hits = [&](const std::string& catalog) {
    const Outcome found = run({"search", catalog, "--text", "a red square", "--json"});
    EXPECT_EQ(found.exit_code, 0) << found.err;
    return nlohmann::json::parse(found.out)["hits"];
  };
  EXPECT_EQ(hits("copy").size(), 3U);
  EXPECT_EQ(hits("copy"), hits("shop"));
}

TEST_F(TheProgram, TakesIdsInBracketsAsTheyAre) {
  index_shop();
  write("brackets.jsonl",
        "{\"id\": \"[red]\", \"image\": \"red.bmp\", \"caption\": \"another red square\"}\n"
        "{\"id\": \"[red,none]\", \"image\": \"red.bmp\", \"caption\": \"a third one\"}\n");
  EXPECT_EQ(run({"upsert", "shop", "--file", "brackets.jsonl"}).exit_code, 0);
  const Outcome like = run({"search", "shop", "--product", "[red,none]", "--json"});
  EXPECT_EQ(like.exit_code, 0) << like.err;
  EXPECT_EQ(run({"search", "shop", "--product=[red,none]"}).exit_code, 0);
  const Outcome deleted = run({"delete", "shop", "[red]", "[red,none]"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_THAT(deleted.out, HasSubstr("2 products deleted, 3 left"));
  EXPECT_EQ(run({"search", "shop", "--product", "red"}).exit_code, 0);
}

TEST_F(TheProgram, LeavesTheCatalogAfterAnOptionsValueToItself) {
  index_shop();
  const Outcome two = run({"search", "--facet", "colour", "--text", "a red square", "--text",
                           "a blue square", "shop", "--json"});
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(nlohmann::json::parse(two.out)["texts"].size(), 2U);
  EXPECT_EQ(run({"search", "--product", "red", "--not-text", "a circle", "shop"}).exit_code, 0);
  EXPECT_EQ(run({"evaluate", "--attribute", "colour=a {} square", "shop"}).exit_code, 0);
}

TEST_F(TheProgram, FailsWhenNoProductCanBeUpserted) {
  index_shop();
  write("bad.jsonl", "\n{\"id\": \"r3\", \"image\": \"none.bmp\", \"caption\": \"c\"}\n{\n");
  const Outcome outcome = run({"upsert", "shop", "--file", "bad.jsonl"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("record 1, id r3"), HasSubstr("record 2, id unknown"),
                                 HasSubstr("line 3")));
}

TEST_F(TheProgram, RollsBackAReindex) {
  index_shop();
  const Outcome nothing = run({"rollback", "shop"});
  EXPECT_EQ(nothing.exit_code, 1);
  expect_one_line(nothing.err, "no sound generation before 1");
  index_shop();
  const Outcome undone = run({"rollback", "shop"});
  EXPECT_EQ(undone.exit_code, 0) << undone.err;
  EXPECT_THAT(undone.out, AllOf(HasSubstr("generation 1 of "), HasSubstr("3 products")));
  const Outcome list = run({"rollback", "shop", "--list"});
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, AllOf(HasSubstr(" *1  "), HasSubstr("  2  "), HasSubstr("shop.jsonl")));
  EXPECT_THAT(run({"rollback", "shop", "--generation", "2"}).out, HasSubstr("generation 2 of "));
  for (const char* none : {"0", "-1", "99999999999999999999"}) {
    expect_one_line(run({"rollback", "shop", "--generation", none}).err, "2147483647");
  }
  EXPECT_EQ(run({"rollback", "shop", "--list", "--generation", "2"}).exit_code, 2);
}

TEST_F(TheProgram, TellsWhatToDoWhenAServerHasTheData) {
  index_shop();
  Program server(folder_.path(), {"serve", "--port", "0"});
  server.read_line();
  write("changed.jsonl", "{\"id\": \"red\", \"price\": 3}\n");
  for (const Arguments& arguments :
       {Arguments{"upsert", "shop", "--file", "changed.jsonl"}, Arguments{"delete", "shop", "red"},
        Arguments{"export", "shop", "--out", "out"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 1);
    expect_one_line(outcome.err, "takes searches, updates and reindexes over HTTP");
  }
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(TheProgram, InfoShowsTheEncoderAndMakesNoFolder) {
  const Outcome info = run({"info", "--json"}, {{"VITRINE_SERVER_ADMIN_TOKEN", "secret"}});
  ASSERT_EQ(info.exit_code, 0) << info.err;
  const auto answer = nlohmann::json::parse(info.out);
  EXPECT_GT(answer["encoder"]["dimension"], 0);
  EXPECT_EQ(answer["configuration"]["server.admin_token"], "(set)");
  EXPECT_EQ(answer["configuration"]["server.port"], "8080");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "data"));
  EXPECT_THAT(run({"info"}).out, HasSubstr("fingerprint"));
}

TEST_F(TheProgram, IndexesSearchesAndReportsABrokenImage) {
  write_shop(true);
  const Outcome built = run({"index", "shop", "--file", "shop.jsonl", "--images", "photos"});
  ASSERT_EQ(built.exit_code, 0) << built.err;
  EXPECT_THAT(built.out, AllOf(HasSubstr("3 of 4 products indexed"), HasSubstr("3 encoded"),
                               HasSubstr("record 4, id t1:")));

  const Outcome again =
      run({"index", "shop", "--file", "shop.jsonl", "--images", "photos", "--kind", "hnsw"});
  EXPECT_THAT(again.out, HasSubstr("0 encoded, 3 from the cache"));

  const Outcome found =
      run({"search", "shop", "--image", "photos/green.bmp", "--limit", "2", "--json"});
  ASSERT_EQ(found.exit_code, 0) << found.err;
  const auto answer = nlohmann::json::parse(found.out);
  ASSERT_EQ(answer["hits"].size(), 2u);
  EXPECT_EQ(answer["hits"][0]["id"], "green");
  EXPECT_NEAR(answer["hits"][0]["score"], 1, 1e-3);
  EXPECT_EQ(answer["hits"][0]["attributes"]["colour"], "green");
  EXPECT_EQ(answer["index"], "hnsw");

  const Outcome by_text = run({"search", "shop", "--text", "a red square", "--exact"});
  EXPECT_EQ(by_text.exit_code, 0) << by_text.err;
  EXPECT_EQ(by_text.err, "");
  EXPECT_THAT(by_text.out, AllOf(HasSubstr("3 hits, hnsw index, exact")));
  const Outcome by_caption = run({"search", "shop", "--text", "a blue square", "--target",
                                  "caption", "--limit", "1", "--json"});
  EXPECT_EQ(nlohmann::json::parse(by_caption.out)["hits"][0]["id"], "blue");
  const Outcome by_product = run({"search", "shop", "--product", "red", "--json"});
  EXPECT_EQ(nlohmann::json::parse(by_product.out)["hits"].size(), 2u);

  const std::string green = R"({"must": [{"key": "colour", "match": {"value": "green"}}]})";
  const Outcome filtered = run({"search", "shop", "--text", "a red square", "--filter", green,
                                "--facet", "colour", "--json"});
  ASSERT_EQ(filtered.exit_code, 0) << filtered.err;
  const auto passing = nlohmann::json::parse(filtered.out);
  ASSERT_EQ(passing["hits"].size(), 1u);
  EXPECT_EQ(passing["hits"][0]["id"], "green");
  EXPECT_EQ(passing["matching"], 1);
  EXPECT_EQ(passing["facets"]["colour"],
            nlohmann::json::parse(R"([{"value": "green", "count": 1}])"));
  const Outcome table = run({"search", "shop", "--text", "a", "--facet", "colour"});
  EXPECT_THAT(table.out, AllOf(HasSubstr("\"green\" (1)"), HasSubstr("3 products match; 3 hits")));
  const Outcome unknown = run({"search", "shop", "--text", "a", "--filter",
                               R"({"must": [{"key": "color", "match": {"value": "green"}}]})"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("they have \"colour\""));
  EXPECT_THAT(run({"search", "shop", "--text", "a", "--filter", "{"}).err,
              HasSubstr("--filter is not valid JSON"));

  const Outcome info = run({"info", "--json"});
  const auto catalogs = nlohmann::json::parse(info.out)["catalogs"];
  ASSERT_EQ(catalogs.size(), 1u);
  EXPECT_EQ(catalogs[0]["products"], 3);
}

TEST_F(TheProgram, StrictIndexingStopsAtABrokenImageAndPublishesNothing) {
  write_shop(true);
  const Outcome strict =
      run({"index", "shop", "--file", "shop.jsonl", "--images", "photos", "--strict"});
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_THAT(strict.err, HasSubstr("t1"));
  EXPECT_EQ(run({"search", "shop", "--text", "a"}).exit_code, 1);
}

TEST_F(TheProgram, ClassifiesAnImage) {
  write("red.bmp", bitmap(64, kWhite, kRed));
  const Outcome outcome = run({"classify", "--image", "red.bmp", "--labels", "red,green,blue",
                               "--template", "a {} garment", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto labels = nlohmann::json::parse(outcome.out)["labels"];
  ASSERT_EQ(labels.size(), 3u);
  double sum = 0;
  for (const auto& label : labels) {
    sum += label["probability"].get<double>();
  }
  EXPECT_NEAR(sum, 1, 1e-5);
  EXPECT_EQ(run({"classify", "--image", "red.bmp", "--labels", "a,a"}).exit_code, 2);
}

TEST_F(TheProgram, WritesEmbeddingsAsNpy) {
  write("texts.txt", "a red dress\r\n\r\na blue bag");
  const Outcome texts = run({"encode", "--texts-file", "texts.txt", "-o", "texts.npy"});
  ASSERT_EQ(texts.exit_code, 0) << texts.err;
  EXPECT_THAT(texts.out, HasSubstr("float32 [3, "));  // a row a line, blank or not
  EXPECT_THAT(read_file(folder_.path() / "texts.npy", 1 << 20), StartsWith("\x93NUMPY"));

  write("red.bmp", bitmap(64, kWhite, kRed));
  write("text.bmp", "no image");
  EXPECT_EQ(run({"encode", "--images", "red.bmp", "red.bmp", "-o", "images.npy"}).exit_code, 0);
  const Outcome broken = run({"encode", "--images", "red.bmp", "text.bmp", "-o", "broken.npy"});
  EXPECT_EQ(broken.exit_code, 1);
  expect_one_line(broken.err, "text.bmp: ");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "broken.npy"));

  write("empty.txt", "");
  EXPECT_EQ(run({"encode", "--texts-file", "empty.txt", "-o", "e.npy"}).exit_code, 1);
  write("bad.txt", "fine\n\xff\n");
  expect_one_line(run({"encode", "--texts-file", "bad.txt", "-o", "e.npy"}).err, "bad.txt:2");
}

TEST_F(TheProgram, ComparesIndicesAndTunesACatalog) {
  index_shop();
  EXPECT_THAT(run({"search", "shop", "--text", "a red square", "--compare"}).out,
              HasSubstr("3 of 3 exact hits found, recall 1.000"));
  write("queries.txt", "a red square\n\n \na blue square\n\n");
  const Arguments what = {"--queries", "queries.txt", "--k", "2",        "--kinds",
                          "flat,ivf",  "--nlist",     "2",   "--nprobe", "1,2"};
  Arguments experiment = {"experiment", "--out", "report"};
  experiment.insert(experiment.end(), what.begin(), what.end());
  experiment.emplace_back("shop");
  const Outcome measured = run(experiment);
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  EXPECT_THAT(measured.out, HasSubstr("3 ways to search 3 embeddings"));
  const auto report =
      nlohmann::json::parse(read_file(folder_.path() / "report/report.json", 1 << 20));
  EXPECT_EQ(report["measurements"].size(), 3u);
  EXPECT_EQ(report["queries"], nlohmann::json::parse(R"([{"name": "texts", "count": 2}])"));
  EXPECT_THAT(read_file(folder_.path() / "report/report.csv", 1 << 20), StartsWith("kind,nlist,"));
  EXPECT_THAT(read_file(folder_.path() / "report/report.html", 1 << 20), HasSubstr("<svg"));

  EXPECT_EQ(run({"encode", "--texts-file", "queries.txt", "-o", "queries.npy"}).exit_code, 0);
  const Outcome by_vectors = run({"experiment", "shop", "--out", "report", "--queries",
                                  "queries.npy", "--k", "2", "--kinds", "flat"});
  ASSERT_EQ(by_vectors.exit_code, 0) << by_vectors.err;
  EXPECT_EQ(nlohmann::json::parse(read_file(folder_.path() / "report/report.json", 1 << 20))
                .at("queries")[0]["name"],
            "vectors");

  Arguments tune = {"tune", "shop", "--kinds", "ivf", "--recall", "0.01"};
  tune.insert(tune.end(), what.begin(), what.begin() + 4);
  tune.insert(tune.end(), what.begin() + 6, what.end());
  Arguments dry = tune;
  dry.emplace_back("--dry-run");
  EXPECT_THAT(run(dry).out, AllOf(HasSubstr("ivf nlist=2"), HasSubstr("Nothing was changed")));
  Arguments impossible = tune;
  impossible.insert(impossible.end(), {"--bytes-per-vector", "1"});
  const Outcome none = run(impossible);
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.out, HasSubstr("Nothing that was tried meets the goal"));
  const Outcome tuned = run(tune);
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  EXPECT_THAT(tuned.out, HasSubstr("generation 2 has this index now"));

  // Indexing again keeps it, unless it says otherwise.
  const Arguments index = {"index", "shop", "--file", "shop.jsonl", "--images", "photos"};
  EXPECT_THAT(run(index).err, HasSubstr("the ivf index that was tuned is kept"));
  EXPECT_THAT(run({"search", "shop", "--text", "a"}).out, HasSubstr("ivf index"));
  Arguments flat = index;
  flat.insert(flat.end(), {"--kind", "flat"});
  EXPECT_EQ(run(flat).exit_code, 0);
  EXPECT_THAT(run({"search", "shop", "--text", "a"}).out, HasSubstr("flat index"));
}

TEST_F(TheProgram, RefusesAnExperimentThatCannotBe) {
  index_shop();
  write("blank.txt", "\n \n");
  const std::vector<std::pair<Arguments, std::string>> cases{
      {{"--queries", "none.txt"}, "none.txt"},
      {{"--queries", "none.npy"}, "none.npy"},
      {{"--queries", "blank.txt"}, "there are 0 texts"},
      {{"--out", "shop.jsonl"}, "shop.jsonl"},
  };
  for (const auto& [arguments, part] : cases) {
    Arguments all = {"experiment", "shop"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Outcome outcome = run(all);
    EXPECT_EQ(outcome.exit_code, 1);
    expect_one_line(outcome.err, part);
  }
  EXPECT_EQ(run({"experiment", "shop", "--k", "0"}).exit_code, 2);
  EXPECT_EQ(run({"experiment", "none"}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "none-experiment"));
}

TEST_F(TheProgram, EvaluatesALabelledCatalog) {
  index_shop();
  const Outcome outcome = run({"evaluate", "shop", "--attribute", "colour=a {} square", "--query",
                               "a {colour} square", "--min-products", "1", "--k", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("| colour of 3, accuracy | 3 |"),
                                 HasSubstr("precision@1, mean of 3 queries")));

  const Outcome told = run({"evaluate", "shop", "--attribute", "colour=a {} square"});
  ASSERT_EQ(told.exit_code, 0) << told.err;
  EXPECT_THAT(told.out, AllOf(HasSubstr("accuracy"), Not(HasSubstr("{colour}"))));
  const Outcome found =
      run({"evaluate", "shop", "--query", "a {colour} square", "--min-products", "1"});
  ASSERT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, AllOf(Not(HasSubstr("accuracy")), HasSubstr("mean of 3 queries")));
  const Outcome too_few = run({"evaluate", "shop", "--query", "a {colour} square"});
  ASSERT_EQ(too_few.exit_code, 0) << too_few.err;
  EXPECT_THAT(too_few.out, HasSubstr("no combination of \"a {colour} square\" has 10 products"));
  // The demo catalogue's attributes are asked for.
  const Outcome demo = run({"evaluate", "shop", "--query", ""});
  EXPECT_EQ(demo.exit_code, 1);
  expect_one_line(demo.err, "\"garment\"");
}

TEST_F(TheProgram, ServesUntilSigtermAndEndsWell) {
  index_shop();
  Program server(folder_.path(), {"serve", "--port", "0"});
  const std::string line = server.read_line();
  ASSERT_THAT(line, StartsWith("listening on http://127.0.0.1:"));
  const int port = std::stoi(line.substr(line.rfind(':') + 1));

  EXPECT_THAT(http_request(port, "GET", "/healthz"), StartsWith("HTTP/1.1 200"));
  const std::string found =
      http_request(port, "POST", "/v1/catalogs/shop/search", "{\"product_id\": \"red\"}");
  EXPECT_THAT(found, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("a green square")));
  EXPECT_THAT(http_request(port, "POST", "/v1/catalogs/none/search", "{\"text\": \"a\"}"),
              StartsWith("HTTP/1.1 404"));

  // A second process must not open the same data, nor take the same port.
  const Outcome second = run({"serve", "--port", "0"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("vitrine: "));
  const Outcome taken = run({"serve", "--port", std::to_string(port), "--data-dir", "other"});
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_THAT(taken.err, HasSubstr(std::to_string(port)));

  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0) << server.err;
  EXPECT_THAT(server.out, HasSubstr("stopped"));
}

TEST_F(TheProgram, PrintsTheJsonThatItsServerAnswers) {
  index_shop();
  const auto printed = [&](const Arguments& arguments) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out);
  };
  nlohmann::json info = printed({"info", "--json"});
  const std::string image = encode_base64(read_file(folder_.path() / "photos/red.bmp", 1 << 20));
  const std::vector<std::pair<Arguments, nlohmann::json>> searches{
      {{"--text", "a red square"}, {{"text", "a red square"}}},
      {{"--image", "photos/red.bmp"}, {{"image", image}}},
      {{"--product", "red"}, {{"product_id", "red"}}},
      {{"--text", "a square", "--not-product", "red"},
       nlohmann::json::parse(
           R"({"query": [{"text": "a square"}, {"product_id": "red", "weight": -1}]})")},
      {{"--not-text", "a red square"},
       nlohmann::json::parse(R"({"query": [{"text": "a red square", "weight": -1}]})")},
  };
  std::vector<nlohmann::json> found;
  for (const auto& [terms, body] : searches) {
    Arguments search = {"search", "shop", "--json"};
    search.insert(search.end(), terms.begin(), terms.end());
    found.push_back(printed(search));
  }
  const nlohmann::json labels =
      printed({"classify", "--image", "photos/red.bmp", "--labels", "red,green", "--json"});

  Program server(folder_.path(), {"serve", "--port", "0"});
  const std::string line = server.read_line();
  const int port = std::stoi(line.substr(line.rfind(':') + 1));
  const auto answered = [&](const char* method, const std::string& path,
                            const std::string& body = "") {
    const std::string answer = http_request(port, method, path, body);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n")));
  };
  nlohmann::json& catalog = info["catalogs"][0];
  catalog.erase("images");
  EXPECT_EQ(catalog, answered("GET", "/v1/catalogs/shop"));
  const nlohmann::json model = answered("GET", "/v1/models")["data"][0];
  info["encoder"].erase("model");
  for (const auto& [name, value] : info["encoder"].items()) EXPECT_EQ(model[name], value) << name;

  const auto without_timings = [](nlohmann::json answer) {
    for (nlohmann::json& ms : answer.at("timings_ms")) ms = 0;
    return answer;
  };
  for (std::size_t i = 0; i < searches.size(); ++i) {
    const std::string body = searches[i].second.dump();
    nlohmann::json search = answered("POST", "/v1/catalogs/shop/search", body);
    for (nlohmann::json& hit : search["hits"]) hit.erase("image_url");
    for (nlohmann::json& hit : found[i]["hits"]) {
      EXPECT_EQ(hit["image"], hit["id"].get<std::string>() + ".bmp");
      hit.erase("image");
    }
    EXPECT_EQ(without_timings(found[i]), without_timings(search)) << body;
  }
  const nlohmann::json classified =
      answered("POST", "/v1/classify",
               R"({"catalog": "shop", "product_id": "red", "labels": ["red", "green"]})");
  EXPECT_EQ(without_timings(labels), without_timings(classified));
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0) << server.err;
}

TEST_F(TheProgram, AnswersARequestInFlightBeforeItEndsOnSigterm) {
  index_shop();
  Program server(folder_.path(), {"serve", "--port", "0"});
  const std::string line = server.read_line();
  const int port = std::stoi(line.substr(line.rfind(':') + 1));

  // The server asks for the body, so the request is in flight when the signal comes.
  const std::string body = R"({"product_id": "red"})";
  HttpConnection connection(port);
  connection.send(
      "POST /v1/catalogs/shop/search HTTP/1.1\r\nHost: localhost\r\n"
      "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_THAT(connection.receive_until("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  server.send(SIGTERM);
  // Drained servers refuse new connections: the signal was seen.
  while (!http_request(port, "GET", "/healthz").empty()) {
  }
  connection.send(body);
  EXPECT_THAT(connection.receive_until(""),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("a green square")));
  EXPECT_EQ(server.wait(), 0) << server.err;
}

TEST_F(TheProgram, EndsWithoutWhatIsComputedAfterTheDrainTimeoutOrASecondSignal) {
  index_shop();
  // Many seconds of work, with the slowest kernels.
  const Arguments serve{"serve",     "--port",   "0",         "--precision", "float32",
                        "--kernels", "portable", "--threads", "1",           "--drain-timeout"};
  nlohmann::json images = nlohmann::json::array();
  for (std::uint32_t i = 0; i < 2000; ++i) {
    images.push_back({{"image", encode_base64(bitmap(8, kWhite, i))}});
  }
  const std::string body = nlohmann::json{{"input", images}}.dump();
  for (const std::string drain_timeout : {"0", "3600"}) {
    Arguments arguments = serve;
    arguments.push_back(drain_timeout);
    Program server(folder_.path(), arguments);
    const std::string line = server.read_line();
    const int port = std::stoi(line.substr(line.rfind(':') + 1));
    HttpConnection connection(port);
    connection.send(
        "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    while (http_request(port, "GET", "/v1/models").find("\"waiting\":0") != std::string::npos) {
    }
    server.send(SIGTERM);
    if (drain_timeout != "0") {
      // Refused connections tell that the first signal was seen.
      while (!http_request(port, "GET", "/healthz").empty()) {
      }
      server.send(SIGTERM);
    }
    EXPECT_EQ(server.wait(), 0) << server.err;
    EXPECT_THAT(server.err, HasSubstr("1 requests are still being computed and are abandoned"));
  }
  // The data is as it was.
  EXPECT_EQ(run({"search", "shop", "--product", "red"}).exit_code, 0);
}

TEST_F(TheProgram, KilledWhileIndexingKeepsTheOldOrTheNewGeneration) {
  // Each round adds products, so that the number of products tells the generations apart.
  constexpr int kRounds = 10, kAdded = 24;
  std::mt19937 random(20240607);
  std::string catalog;
  int products = 0;
  const auto add_products = [&] {
    for (int i = 0; i < kAdded; ++i, ++products) {
      const std::string id = "p" + std::to_string(products);
      write("photos/" + id + ".bmp", bitmap(64, kWhite, random() & 0xffffff));
      catalog +=
          nlohmann::json{{"id", id}, {"image", id + ".bmp"}, {"caption", "square " + id}}.dump() +
          "\n";
    }
    write("shop.jsonl", catalog);
  };
  const auto served = [&] {
    const Outcome info = run({"info", "--json"});
    EXPECT_EQ(info.exit_code, 0) << info.err;
    const auto catalogs = nlohmann::json::parse(info.out)["catalogs"];
    EXPECT_EQ(catalogs.size(), 1u);
    EXPECT_TRUE(catalogs[0]["searchable"].get<bool>()) << info.out;
    return catalogs[0]["products"].get<int>();
  };
  const Arguments index{"index", "shop", "--file", "shop.jsonl", "--images", "photos"};
  using Clock = std::chrono::steady_clock;

  add_products();
  auto start = Clock::now();
  ASSERT_EQ(run(index).exit_code, 0);
  Clock::duration duration = Clock::now() - start;
  int interrupted = 0;
  for (int round = 0; round < kRounds; ++round) {
    const int before = products;
    add_products();
    {
      Program program(folder_.path(), index);
      const double share = std::uniform_real_distribution<double>(0.05, 1.0)(random);
      std::this_thread::sleep_for(
          std::chrono::duration_cast<Clock::duration>(duration * share));  // the random moment
      program.send(SIGKILL);
      interrupted += program.wait() == -SIGKILL ? 1 : 0;
    }
    const int now = served();
    EXPECT_TRUE(now == before || now == products) << now << " products in round " << round;
    const Outcome search = run({"search", "shop", "--product", "p0", "--limit", "3", "--json"});
    EXPECT_EQ(search.exit_code, 0) << search.err;

    start = Clock::now();
    const Outcome again = run(index);
    duration = Clock::now() - start;
    ASSERT_EQ(again.exit_code, 0) << again.err;
    EXPECT_THAT(again.out, HasSubstr(std::to_string(products) + " of " + std::to_string(products) +
                                     " products indexed"));
    EXPECT_EQ(served(), products);
  }
  EXPECT_GE(interrupted, kRounds / 2);
  // Everything was encoded by now, in whichever run.
  EXPECT_THAT(run(index).out,
              HasSubstr("0 encoded, " + std::to_string(products) + " from the cache"));
}

}  // namespace
}  // namespace vitrine::cli
