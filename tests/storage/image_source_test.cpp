#include "storage/image_source.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "storage/local_image_source.h"
#include "tests/storage/error_code.h"

namespace vitrine::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// outside/secret.png beside root/{a.png, empty.png, sub/b.png}.
class LocalImageSource : public ::testing::TestWithParam<Confinement> {
 protected:
  void SetUp() override {
    if (GetParam() == Confinement::kKernel && best_confinement() != Confinement::kKernel) {
      GTEST_SKIP() << "this kernel or sandbox has no openat2";
    }
    fs::create_directories(root_ / "sub/deeper");
    fs::create_directories(outside_);
    write_file_atomically(root_ / "a.png", "bytes of a");
    write_file_atomically(root_ / "empty.png", "");
    write_file_atomically(root_ / "sub/b.png", "bytes of b");
    write_file_atomically(outside_ / "secret.png", "secret");
    source_ = open();
  }

  std::unique_ptr<ImageSource> open(std::uint64_t max_bytes = 1000) const {
    return open_local_image_source({"local", root_.string(), max_bytes}, GetParam());
  }
  std::string error(const std::string& image) const {
    return error_of([&] { source_->read(image); });
  }

  const TemporaryDirectory folder_;
  const fs::path root_ = folder_.path() / "root";
  const fs::path outside_ = folder_.path() / "outside";
  std::unique_ptr<ImageSource> source_;
};

INSTANTIATE_TEST_SUITE_P(Confinements, LocalImageSource,
                         ::testing::Values(Confinement::kKernel, Confinement::kWalk),
                         [](const auto& way) {
                           return way.param == Confinement::kKernel ? "Kernel" : "Walk";
                         });

TEST_P(LocalImageSource, ReadsFilesBelowItsRoot) {
  EXPECT_EQ(source_->read("a.png"), "bytes of a");
  EXPECT_EQ(source_->read("./sub//b.png"), "bytes of b");
  EXPECT_EQ(source_->type(), "local");
  EXPECT_EQ(source_->location(), fs::canonical(root_).string());
}

TEST_P(LocalImageSource, RefusesNamesThatLeaveIt) {
  const std::string absolute = (outside_ / "secret.png").string();
  for (const std::string& name :
       {std::string("../outside/secret.png"), std::string("sub/../../outside/secret.png"),
        std::string(".."), std::string("sub/.."), absolute, std::string("/"),
        (root_ / "a.png").string()}) {
    EXPECT_THAT(error(name), StartsWith("permission_denied")) << name;
  }
}

TEST_P(LocalImageSource, RefusesSymbolicLinksThatLeaveIt) {
  fs::create_symlink(outside_ / "secret.png", root_ / "absolute.png");
  fs::create_symlink("../outside/secret.png", root_ / "relative.png");
  fs::create_directory_symlink("../../outside", root_ / "sub/folder");
  fs::create_symlink("sub/folder/secret.png", root_ / "chain.png");
  fs::create_symlink("sub/../../root/a.png", root_ / "out_and_in.png");
  for (const char* name :
       {"absolute.png", "relative.png", "sub/folder/secret.png", "chain.png", "out_and_in.png"}) {
    EXPECT_THAT(error(name), StartsWith("permission_denied")) << name;
  }
}

TEST_P(LocalImageSource, FollowsRelativeLinksThatStayInside) {
  fs::create_symlink("sub/b.png", root_ / "link.png");
  fs::create_symlink("../../a.png", root_ / "sub/deeper/up.png");
  fs::create_directory_symlink("sub/deeper", root_ / "short");
  EXPECT_EQ(source_->read("link.png"), "bytes of b");
  EXPECT_EQ(source_->read("sub/deeper/up.png"), "bytes of a");
  EXPECT_EQ(source_->read("short/up.png"), "bytes of a");
}

TEST_P(LocalImageSource, RefusesLinksInACircleAndDanglingOnes) {
  fs::create_symlink("two", root_ / "one");
  fs::create_symlink("one", root_ / "two");
  fs::create_symlink("nowhere", root_ / "dangling");
  EXPECT_THAT(error("one"), StartsWith("invalid_argument"));
  EXPECT_THAT(error("dangling"), StartsWith("not_found"));
}

TEST_P(LocalImageSource, RefusesWhatIsNoFileWithoutWaiting) {
  ASSERT_EQ(::mkfifo((root_ / "pipe.png").c_str(), 0600), 0);
  fs::create_directory_symlink(".", root_ / "self");
  EXPECT_THAT(error("pipe.png"), HasSubstr("not a regular file"));
  EXPECT_THAT(error("sub"), HasSubstr("not a regular file"));
  EXPECT_THAT(error("sub/"), HasSubstr("not a regular file"));
  EXPECT_THAT(error("."), HasSubstr("not a regular file"));
  EXPECT_THAT(error("self"), HasSubstr("not a regular file"));

  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (root_ / "socket.png").string();
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_THAT(error("socket.png"), StartsWith("invalid_argument"));
  ::close(listener);
}

TEST_P(LocalImageSource, NamesWhatIsMissingEmptyTooLargeOrMalformed) {
  EXPECT_THAT(error("absent.png"), StartsWith("not_found: image \"absent.png\""));
  EXPECT_THAT(error("a.png/b.png"), StartsWith("not_found"));
  EXPECT_THAT(error("empty.png"), HasSubstr("is an empty file"));
  EXPECT_THAT(error_of([&] { open(9)->read("a.png"); }),
              StartsWith("resource_exhausted: image \"a.png\" has 10 bytes; at most 9"));
  EXPECT_EQ(open(10)->read("a.png"), "bytes of a");
  EXPECT_THAT(error(""), StartsWith("invalid_argument"));
  EXPECT_THAT(error(std::string("a.png\0", 6)), StartsWith("invalid_argument"));
  EXPECT_THAT(error(std::string(300, 'a')), StartsWith("invalid_argument"));
  EXPECT_THAT(error(std::string(5000, 'a')), StartsWith("invalid_argument"));
}

TEST_P(LocalImageSource, StaysWithItsFolderWhenThatIsRenamed) {
  fs::rename(root_, folder_.path() / "moved");
  EXPECT_EQ(source_->read("a.png"), "bytes of a");
}

TEST_P(LocalImageSource, IsUnavailableWhenItsFolderIsGone) {
  fs::remove_all(root_);
  EXPECT_THAT(error("a.png"), StartsWith("unavailable: image folder " + root_.string()));
  fs::create_directory(root_);
  write_file_atomically(root_ / "a.png", "other bytes");
  EXPECT_THAT(error("a.png"), StartsWith("unavailable: image folder " + root_.string()));
  EXPECT_EQ(open()->read("a.png"), "other bytes");
  EXPECT_THAT(error_of([&] { open()->read("b.png"); }), StartsWith("not_found"));
}

/// Root may read everything: makes the test another user for as long as it exists.
class Unprivileged {
 public:
  Unprivileged() : was_root_(::geteuid() == 0) {
    if (was_root_) {
      EXPECT_EQ(::seteuid(kNobody), 0);
    }
  }
  ~Unprivileged() {
    if (was_root_) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const bool was_root_;
};

TEST_P(LocalImageSource, IsUnavailableWhenItsFolderMayNotBeSearched) {
  fs::permissions(root_, fs::perms::none);
  {
    const Unprivileged user;
    EXPECT_THAT(error("a.png"), StartsWith("unavailable: image folder " + root_.string()));
  }
  fs::permissions(root_, fs::perms::owner_all);
  EXPECT_EQ(source_->read("a.png"), "bytes of a");
}

TEST(ImageSourceSpec, IsValidated) {
  EXPECT_THAT(error_of([] {
                open_image_source({"ftp", "/x"});
              }),
              HasSubstr("image source type \"ftp\"; it must be one of: local"));
  EXPECT_THAT(error_of([] { open_image_source({"local", ""}); }), HasSubstr("location"));
  EXPECT_THAT(error_of([] { open_image_source({"local", "/tmp", 0}); }), HasSubstr("max_bytes"));
  EXPECT_THAT(error_of([] {
                open_image_source({"local", "/no/such/folder"});
              }),
              StartsWith("not_found: image folder /no/such/folder"));
}

TEST(ImageSourceSpec, OpensEveryRegisteredType) {
  const TemporaryDirectory folder;
  for (const std::string& type : image_source_types()) {
    EXPECT_EQ(open_image_source({type, folder.path().string()})->type(), type);
  }
}

}  // namespace
}  // namespace vitrine::storage
