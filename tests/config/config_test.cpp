#include "config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace vitrine::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::filesystem::path kDefaultFile =
    std::filesystem::path(VITRINE_SOURCE_DIR) / "config" / "vitrine.toml";

class ConfigFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& text) {
    const std::filesystem::path path = folder_.path() / "site.toml";
    std::ofstream(path) << text;
    return path;
  }

  /// The message of the error that loading ends with.
  std::string refusal(const std::string& text, const Environment& environment = {},
                      const std::vector<Override>& flags = {}) {
    try {
      load_config(write(text), environment, flags);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << text;
    return "";
  }

  TemporaryDirectory folder_;
};

TEST_F(ConfigFile, InTheRepositoryEqualsTheDefaults) {
  EXPECT_EQ(load_config(kDefaultFile, {}, {}), Config{});
}

TEST_F(ConfigFile, InTheRepositoryHasEveryKeyInOrder) {
  std::ifstream file(kDefaultFile);
  std::vector<std::string> keys;
  std::string section;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("[")) {
      section = line.substr(1, line.find(']') - 1);
    } else if (!line.empty() && line[0] != '#') {
      keys.push_back(section + "." + line.substr(0, line.find(' ')));
    }
  }
  std::vector<std::string> expected;
  for (const auto& [key, value] : settings_of(Config{})) {
    expected.push_back(key);
  }
  EXPECT_EQ(keys, expected);
}

TEST_F(ConfigFile, FlagsWinOverEnvironmentOverFileOverDefaults) {
  const auto path = write("[server]\nport = 1\nio_threads = 2\nmax_body_mb = 3\n");
  const Environment environment{{"VITRINE_SERVER_PORT", "11"}, {"VITRINE_SERVER_IO_THREADS", "12"}};
  const std::vector<Override> flags{{"server.port", "21", "--port"}};
  const Config config = load_config(path, environment, flags);
  EXPECT_EQ(config.server.port, 21);
  EXPECT_EQ(config.server.io_threads, 12);
  EXPECT_EQ(config.server.max_body_mb, 3);
  EXPECT_EQ(config.server.compute_threads, ServerConfig{}.compute_threads);
}

TEST_F(ConfigFile, EveryKeyHasAVariable) {
  for (const auto& [key, value] : settings_of(Config{})) {
    std::string variable = "VITRINE_" + key;
    for (char& c : variable) {
      c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    EXPECT_EQ(load_config(std::nullopt, {{variable, value}}, {}), Config{}) << variable;
  }
}

TEST_F(ConfigFile, UnknownKeyIsNamedWithItsLineAndTheNearestKey) {
  EXPECT_THAT(refusal("[server]\nprot = 1\n"),
              AllOf(HasSubstr("site.toml:2:"), HasSubstr("unknown key server.prot"),
                    HasSubstr("did you mean server.port?")));
}

TEST_F(ConfigFile, UnknownSectionAndTopLevelKeyAreNamed) {
  EXPECT_THAT(refusal("[sever]\nport = 1\n"), HasSubstr("unknown section [sever]"));
  EXPECT_THAT(refusal("port = 1\n"), HasSubstr("unknown key port"));
  EXPECT_THAT(refusal("[server.port]\nx = 1\n"), HasSubstr("server.port must be an integer"));
}

TEST_F(ConfigFile, BadValuesNameTheKeyAndTheValidRange) {
  EXPECT_THAT(
      refusal("[server]\n\nport = 65536\n"),
      AllOf(HasSubstr("site.toml:3:"), HasSubstr("server.port is 65536"), HasSubstr("0 to 65535")));
  EXPECT_THAT(refusal("[server]\nport = \"80\"\n"), HasSubstr("server.port must be an integer"));
  EXPECT_THAT(refusal("[server]\nport = 80.0\n"), HasSubstr("server.port must be an integer"));
  EXPECT_THAT(refusal("[server]\nport = true\n"), HasSubstr("server.port must be an integer"));
  EXPECT_THAT(refusal("[server]\nport = 99999999999\n"), HasSubstr("server.port is 99999999999"));
  EXPECT_THAT(refusal("[index]\nkind = \"tree\"\n"),
              AllOf(HasSubstr("index.kind is \"tree\""), HasSubstr("flat, ivf, ivf_pq, hnsw")));
  EXPECT_THAT(refusal("[encoder]\nkernels = \"sse9\"\n"),
              AllOf(HasSubstr("encoder.kernels is \"sse9\""), HasSubstr("avx512_bf16, amx")));
  EXPECT_THAT(refusal("[index]\ndevice = \"gpu\"\n"),
              AllOf(HasSubstr("index.device is \"gpu\""), HasSubstr("auto, cpu, cuda")));
  EXPECT_THAT(refusal("[server]\naccess_log = 1\n"),
              HasSubstr("server.access_log must be true or false"));
  EXPECT_THAT(refusal("[server]\nmax_body_mb = 512\n"), HasSubstr("server.max_buffered_mb is 256"));
  EXPECT_THAT(refusal("[updates]\nmax_unmerged = 9\n"), HasSubstr("updates.merge_size is 10000"));
  EXPECT_THAT(refusal("[updates]\nmerge_age_sec = -1\n"), HasSubstr("updates.merge_age_sec"));
  EXPECT_THAT(refusal("[server]\nadmin_token = \"a b\"\n"), HasSubstr("server.admin_token"));
  EXPECT_THAT(refusal("[index]\nkind = 3\n"), HasSubstr("index.kind must be a string"));
  EXPECT_THAT(refusal("[storage]\ndata_dir = \"\"\n"), HasSubstr("storage.data_dir is empty"));
}

TEST_F(ConfigFile, KeysThatDependOnEachOtherMayComeFromDifferentPlaces) {
  const auto path = write("[server]\nmax_body_mb = 512\n");
  const Config config = load_config(path, {{"VITRINE_SERVER_MAX_BUFFERED_MB", "1024"}}, {});
  EXPECT_EQ(config.server.max_body_mb, 512);
}

TEST_F(ConfigFile, MalformedFileNamesTheLine) {
  EXPECT_THAT(refusal("[server]\nport = = 3\n"), HasSubstr("site.toml:2:"));
}

TEST_F(ConfigFile, MissingFileIsNotFound) {
  try {
    load_config(folder_.path() / "none.toml", {}, {});
    FAIL() << "accepted a missing file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("none.toml"));
  }
}

TEST_F(ConfigFile, UnknownVariableIsNamed) {
  EXPECT_THAT(refusal("", {{"VITRINE_SERVER_PROT", "1"}}),
              AllOf(HasSubstr("VITRINE_SERVER_PROT"), HasSubstr("VITRINE_SERVER_PORT?")));
}

TEST_F(ConfigFile, BadVariableAndFlagNameThemselves) {
  EXPECT_THAT(refusal("", {{"VITRINE_SERVER_PORT", "http"}}),
              AllOf(HasSubstr("VITRINE_SERVER_PORT"), HasSubstr("\"http\" is not an integer")));
  EXPECT_THAT(refusal("", {{"VITRINE_SERVER_PORT", ""}}), HasSubstr("not an integer"));
  EXPECT_THAT(refusal("", {}, {{"server.port", "-1", "--port"}}),
              AllOf(HasSubstr("--port"), HasSubstr("0 to 65535")));
}

TEST(Environment, HoldsOnlyOurVariables) {
  ::setenv("VITRINE_SERVER_PORT", "1=2", 1);
  ::setenv("OTHER_VITRINE_PORT", "1", 1);
  EXPECT_EQ(process_environment(), (Environment{{"VITRINE_SERVER_PORT", "1=2"}}));
  ::unsetenv("VITRINE_SERVER_PORT");
  ::unsetenv("OTHER_VITRINE_PORT");
}

}  // namespace
}  // namespace vitrine::config
