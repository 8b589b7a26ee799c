#include "encoder/weight_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "encoder/json_file.h"

namespace vitrine::encoder {
namespace {

/// An index has a line a tensor; the largest published ones have a megabyte.
constexpr std::uint64_t kMaxIndexBytes = 16 << 20;

std::filesystem::path single_file(const std::filesystem::path& folder, const char* stem) {
  return folder / fmt::format("{}.safetensors", stem);
}

std::filesystem::path index_file(const std::filesystem::path& folder, const char* stem) {
  return folder / fmt::format("{}.safetensors.index.json", stem);
}

/// A name that cannot lead out of the folder.
bool is_plain_file_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find_first_of("/\\") == std::string::npos &&
         name.find('\0') == std::string::npos && !name.starts_with('.');
}

/// The legacy file of pickled tensors that the folder has instead of .safetensors.
std::optional<std::string> find_pickle(const std::filesystem::path& folder) {
  std::error_code ignored;  // a folder that cannot be read has none
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bin") && name.find("pytorch_model") != std::string::npos) return name;
  }
  return std::nullopt;
}

Error missing_weights(const std::filesystem::path& folder, const char* stem) {
  const std::string wanted = single_file(folder, stem).filename().string();
  const std::optional<std::string> pickle = find_pickle(folder);
  if (!pickle) return not_found(fmt::format("{} has no {}", folder.string(), wanted));
  const std::size_t family = pickle->find("pytorch_model");
  return invalid_argument(fmt::format(
      "{0}/{1} is a pickle, which can run any code and is not read. Make {2} from it, once, with "
      "Python's torch and safetensors packages, in that folder:\n"
      "  python3 -c 'import glob, torch; from safetensors.torch import save_file; "
      "save_file({{name: tensor.clone().contiguous() for file in "
      "glob.glob(\"{3}pytorch_model*.bin\")"
      " for name, tensor in torch.load(file, \"cpu\", weights_only=True).items()}}, \"{2}\", "
      "{{\"format\": \"pt\"}})'",
      folder.string(), printable(*pickle), wanted, printable(pickle->substr(0, family))));
}

}  // namespace

bool WeightFiles::exist(const std::filesystem::path& folder, std::span<const char* const> stems) {
  for (const char* stem : stems) {
    if (std::filesystem::exists(single_file(folder, stem))) return true;
    if (std::filesystem::exists(index_file(folder, stem))) return true;
  }
  return false;
}

WeightFiles WeightFiles::open(const std::filesystem::path& folder,
                              std::span<const char* const> stems) {
  WeightFiles weights;
  for (const char* stem : stems) {
    if (const auto path = single_file(folder, stem); std::filesystem::exists(path)) {
      weights.paths_ = {path};
      weights.files_.emplace_back(path);
      weights.tensors_ = weights.files_.front().tensors();
      return weights;
    }
    if (const auto path = index_file(folder, stem); std::filesystem::exists(path)) {
      weights.open_shards(path);
      return weights;
    }
  }
  throw missing_weights(folder, stems.front());
}

void WeightFiles::open_shards(const std::filesystem::path& index) {
  const nlohmann::json json = read_json_object(index, kMaxIndexBytes);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    throw corruption(index.string() + ": weight_map is not an object");
  }
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get_ref<const std::string&>())) {
      throw corruption(fmt::format(
          "{}: tensor \"{}\" is in {}; the name of a .safetensors file of this folder is needed",
          index.string(), printable(tensor), printable(shard.dump())));
    }
    shards.insert(shard.get<std::string>());
  }

  paths_ = {index};
  for (const std::string& shard : shards) {
    paths_.push_back(index.parent_path() / shard);
    files_.emplace_back(paths_.back());
    for (const auto& [name, tensor] : files_.back().tensors()) {
      const auto entry = map->find(name);
      if (entry == map->end() || *entry != shard) {
        throw corruption(
            fmt::format("{} holds tensor \"{}\", which {} says is {}", paths_.back().string(),
                        printable(name), index.string(),
                        entry == map->end() ? "in no shard" : "in " + printable(entry->dump())));
      }
      tensors_.emplace(name, tensor);
    }
  }
  for (const auto& [name, shard] : map->items()) {
    if (!tensors_.contains(name)) {
      throw corruption(fmt::format("{}: tensor \"{}\" is not in {}", index.string(),
                                   printable(name), printable(shard.dump())));
    }
  }
}

}  // namespace vitrine::encoder
