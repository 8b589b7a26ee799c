#include "base/cpu_quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// What Linux tells a process of its control groups, in a folder of this test's own.
class CpuQuota : public testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }
  fs::path mount() const { return folder() / "sys"; }
  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((folder() / file).parent_path());
    std::ofstream(folder() / file) << text;
  }
  void write_version2(const std::string& group, const std::string& root) {
    write("cgroup", "0::" + group + "\n");
    write("mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n30 22 0:26 " + root + " " +
                           mount().string() +
                           " rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

 private:
  TemporaryDirectory folder_{"vitrine-quota"};
};

TEST_F(CpuQuota, IsNothingWithoutALimit) {
  EXPECT_EQ(cpu_quota(folder()), std::nullopt);
  write_version2("/shop", "/");
  EXPECT_EQ(cpu_quota(folder()), std::nullopt);
  write("sys/shop/cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_quota(folder()), std::nullopt);
}

TEST_F(CpuQuota, IsThatOfTheProcesssGroup) {
  write_version2("/shop/vitrine", "/");
  write("sys/shop/vitrine/cpu.max", "250000 100000\n");
  write("sys/other/cpu.max", "10000 100000\n");
  EXPECT_EQ(cpu_quota(folder()), 2.5);
}

TEST_F(CpuQuota, IsTheLeastOfTheGroupsAbove) {
  write_version2("/shop/vitrine", "/");
  write("sys/shop/vitrine/cpu.max", "400000 100000\n");
  write("sys/shop/cpu.max", "75000 50000\n");
  EXPECT_EQ(cpu_quota(folder()), 1.5);
}

// With a namespace of its own a container sees its group as the root, without one a part of the
// host's tree.
TEST_F(CpuQuota, IsThatOfAContainer) {
  write("sys/cpu.max", "100000 100000\n");
  write_version2("/", "/");
  EXPECT_EQ(cpu_quota(folder()), 1.0);
  write_version2("/docker/abc", "/docker/abc");
  EXPECT_EQ(cpu_quota(folder()), 1.0);
  write_version2("/docker/abc", "/elsewhere");
  EXPECT_EQ(cpu_quota(folder()), 1.0);
  write_version2("/../other", "/");
  EXPECT_EQ(cpu_quota(folder()), 1.0);
}

TEST_F(CpuQuota, IsKnownOfVersion1) {
  write("cgroup", "9:name=systemd:/\n4:memory:/big\n2:cpuacct,cpu:/shop\n");
  write("mountinfo", "30 22 0:26 / " + (folder() / "memory").string() +
                         " rw - cgroup cgroup rw,memory\n31 22 0:27 / " + mount().string() +
                         " rw - cgroup cgroup rw,cpu,cpuacct\n");
  write("memory/big/cpu.cfs_quota_us", "10000\n");
  write("memory/big/cpu.cfs_period_us", "100000\n");
  write("sys/cpu.cfs_quota_us", "-1\n");
  write("sys/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota(folder()), std::nullopt);
  write("sys/shop/cpu.cfs_quota_us", "200000\n");
  write("sys/shop/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpu_quota(folder()), 2.0);
}

TEST_F(CpuQuota, TakesWhatItCannotReadForNoLimit) {
  write_version2("/shop", "/");
  for (const char* text : {"", "x", "100000", "100000 0", "-5 100000", "nan nan"}) {
    write("sys/shop/cpu.max", text);
    EXPECT_EQ(cpu_quota(folder()), std::nullopt) << text;
  }
  write("cgroup", "no colon\n::\n:\n");
  write("mountinfo", "1 2\n\n-\n");
  EXPECT_EQ(cpu_quota(folder()), std::nullopt);
}

}  // namespace
}  // namespace vitrine
