#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>

#include "base/error.h"

namespace vitrine {
namespace {

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(File, ReplacesAFileAsAWhole) {
  const TemporaryDirectory folder;
  const auto path = folder.path() / "f";
  write_file_atomically(path, "old");
  write_file_atomically(path, "new and longer");
  EXPECT_EQ(read_file(path, 100), "new and longer");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "a temporary file was left behind";
}

TEST(File, RefusesWhatIsTooLargeMissingOrNoFile) {
  const TemporaryDirectory folder;
  write_file_atomically(folder.path() / "f", "12345");
  EXPECT_EQ(code_of([&] { read_file(folder.path() / "f", 4); }), ErrorCode::kResourceExhausted);
  EXPECT_EQ(code_of([&] { read_file(folder.path() / "g", 4); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { read_file(folder.path(), 4); }), ErrorCode::kInvalidArgument);
}

TEST(File, DoesNotWaitForTheWriterOfANamedPipe) {
  const TemporaryDirectory folder;
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { read_file(folder.path() / "pipe", 4); }), ErrorCode::kInvalidArgument);
}

TEST(MappedFile, ShowsTheBytesAndAllowsAnEmptyFile) {
  const TemporaryDirectory folder;
  write_file_atomically(folder.path() / "f", "mapped");
  write_file_atomically(folder.path() / "empty", "");
  EXPECT_EQ(MappedFile(folder.path() / "f").bytes(), "mapped");
  EXPECT_TRUE(MappedFile(folder.path() / "empty").bytes().empty());
}

TEST(MappedFile, ShowsTheBytesOfPartsThatFewReadsWereExpectedOf) {
  const TemporaryDirectory folder;
  std::string bytes(100'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 251);
  write_file_atomically(folder.path() / "f", bytes);
  const MappedFile file(folder.path() / "f");
  for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 100'000},
                                     {5000, 60'000},
                                     {4095, 2},
                                     {99'999, 1},
                                     {7, 0}}) {
    file.expect_few_reads(file.bytes().substr(first, count));
    EXPECT_TRUE(file.bytes() == bytes);
  }
}

TEST(FileLock, IsExclusiveAndEndsWithTheObject) {
  const TemporaryDirectory folder;
  {
    const FileLock lock(folder.path() / "LOCK");
    EXPECT_EQ(code_of([&] { const FileLock second(folder.path() / "LOCK"); }),
              ErrorCode::kUnavailable);
  }
  const FileLock again(folder.path() / "LOCK");
}

}  // namespace
}  // namespace vitrine
