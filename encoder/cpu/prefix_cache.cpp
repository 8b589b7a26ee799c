#include "encoder/cpu/prefix_cache.h"

#include <algorithm>

namespace vitrine::encoder::cpu {
namespace {

constexpr int kOfferedBits = 12;
constexpr std::uint64_t kNothing = ~std::uint64_t{0};  // no key

}  // namespace

PrefixCache::PrefixCache(int tokens)
    : nodes_(static_cast<std::size_t>(tokens) + 1),
      offered_(std::size_t{1} << kOfferedBits, kNothing) {
  nodes_[kStart].known = true;
}

int PrefixCache::find(int before, std::int32_t token) {
  const auto found = numbers_.find(key_of(before, token));
  if (found == numbers_.end()) return -1;
  nodes_[static_cast<std::size_t>(found->second)].batch = batch_;
  return found->second;
}

int PrefixCache::free_number() {
  int oldest = -1;
  for (int i = kStart + 1; i < rows(); ++i) {
    const Node& node = nodes_[static_cast<std::size_t>(i)];
    if (!node.known) return i;
    if (node.next > 0 || node.batch == batch_) continue;
    if (oldest < 0 || node.batch < nodes_[static_cast<std::size_t>(oldest)].batch) oldest = i;
  }
  if (oldest < 0) return -1;
  Node& node = nodes_[static_cast<std::size_t>(oldest)];
  --nodes_[static_cast<std::size_t>(node.key >> 32)].next;
  numbers_.erase(node.key);
  node = {};
  return oldest;
}

int PrefixCache::offer(int before, std::int32_t token) {
  const Key key = key_of(before, token);
  // Fibonacci hashing: the upper bits depend on all of the key.
  Key& offered = offered_[key * 0x9e3779b97f4a7c15U >> (64 - kOfferedBits)];
  if (offered != key) {
    offered = key;
    return -1;
  }
  // What it follows is used by this batch, and stays.
  nodes_[static_cast<std::size_t>(before)].batch = batch_;
  const int number = free_number();
  if (number < 0) return -1;
  numbers_.emplace(key, number);
  ++nodes_[static_cast<std::size_t>(before)].next;
  nodes_[static_cast<std::size_t>(number)] = {.key = key, .known = true, .batch = batch_};
  return number;
}

void PrefixCache::clear() {
  numbers_.clear();
  std::ranges::fill(nodes_, Node{});
  nodes_[kStart].known = true;
}

}  // namespace vitrine::encoder::cpu
