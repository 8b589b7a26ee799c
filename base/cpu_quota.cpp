#include "base/cpu_quota.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {
namespace {

namespace fs = std::filesystem;

/// A tree of control groups that may limit the CPU; the formats are those of cgroups(7) and
/// proc(5).
struct Hierarchy {
  std::string type;   // of its file system, "cgroup2" or "cgroup"
  std::string group;  // of the process
};

bool lists(std::string_view comma_separated, std::string_view word) {
  return ("," + std::string(comma_separated) + ",").find("," + std::string(word) + ",") !=
         std::string::npos;
}

/// The hierarchies of /proc/self/cgroup, whose lines are number:controllers:group.
std::vector<Hierarchy> hierarchies(const fs::path& proc) {
  std::vector<Hierarchy> found;
  std::ifstream file(proc / "cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !lists(controllers, "cpu")) continue;
    found.push_back({controllers.empty() ? "cgroup2" : "cgroup", line.substr(second + 1)});
  }
  return found;
}

/// The folders of the process's group and of those above it that can be seen from here.
std::vector<fs::path> folders_of(const Hierarchy& hierarchy, const fs::path& proc) {
  std::vector<fs::path> folders;
  std::ifstream file(proc / "mountinfo");
  for (std::string line; std::getline(file, line);) {
    // number parent device root mount options [optional]... - type source super-options
    std::istringstream words(line);
    std::string number, parent, device, root, mount, word, type, source, options;
    words >> number >> parent >> device >> root >> mount;
    while (words >> word && word != "-") {
    }
    words >> type >> source >> options;
    if (type != hierarchy.type || (type == "cgroup" && !lists(options, "cpu"))) continue;
    // In a container the group's name may be one of the host, which is not to be seen here.
    const fs::path below = fs::path(hierarchy.group).lexically_relative(root);
    fs::path folder = mount;
    folders.push_back(folder);
    if (std::ranges::find(below, fs::path("..")) != below.end()) continue;
    for (const fs::path& name : below) {
      if (name != ".") folders.push_back(folder /= name);
    }
  }
  return folders;
}

/// In CPUs: of microseconds in so many, none or below 0 for no limit.
std::optional<double> ratio(std::istream& quota, std::istream& period) {
  double used = 0, of = 0;
  if (!(quota >> used) || !(period >> of) || used <= 0 || of <= 0) return std::nullopt;
  return used / of;
}

std::optional<double> quota_of(const fs::path& folder) {
  std::ifstream both(folder / "cpu.max");
  if (both) return ratio(both, both);
  std::ifstream quota(folder / "cpu.cfs_quota_us");
  std::ifstream period(folder / "cpu.cfs_period_us");
  return ratio(quota, period);
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& proc) {
  std::optional<double> least;
  for (const Hierarchy& hierarchy : hierarchies(proc)) {
    for (const fs::path& folder : folders_of(hierarchy, proc)) {
      const std::optional<double> quota = quota_of(folder);
      if (quota) least = std::min(*quota, least.value_or(*quota));
    }
  }
  return least;
}

}  // namespace vitrine
