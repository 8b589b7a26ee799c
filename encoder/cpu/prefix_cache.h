#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace vitrine::encoder::cpu {

/// Which beginnings of texts a causal transformer has the keys and values of: a trie of tokens, in
/// which a token's number says which of the transformer's known rows is its own. The start token is
/// the root. Says nothing of what the rows hold. Not safe for threads.
class PrefixCache {
 public:
  static constexpr int kStart = 0;  ///< the number of the start token

  /// tokens: that are known at once, at most, the start token not counted; at least 1.
  explicit PrefixCache(int tokens);

  /// Known rows, the start token's included.
  int rows() const { return static_cast<int>(nodes_.size()); }

  /// Begins a batch. A number that is returned from now on means the same until the next begins.
  void begin_batch() { ++batch_; }
  /// The number of the token after those that lead to `before`, or -1 where it is not known.
  int find(int before, std::int32_t token);
  /// Makes a token known that is not: returns the number of its row, for the caller to fill before
  /// the next batch. -1, and nothing done, where the token was not offered lately, for most
  /// beginnings never come again, or where this batch uses all rows. It takes the place of what was
  /// used the longest time ago and leads to nothing else.
  int offer(int before, std::int32_t token);
  /// Forgets all but the start token.
  void clear();

 private:
  using Key = std::uint64_t;  // the number of what is before, and the token
  struct Node {
    Key key = 0;
    bool known = false;
    int next = 0;             // known tokens that follow
    std::uint64_t batch = 0;  // that used it last
  };
  static Key key_of(int before, std::int32_t token) {
    return static_cast<Key>(before) << 32 | static_cast<std::uint32_t>(token);
  }
  /// Of a row to be used for another token, or -1.
  int free_number();

  std::vector<Node> nodes_;  // by number
  std::unordered_map<Key, int> numbers_;
  std::vector<Key> offered_;  // some of those that were offered last, each in a place of its own
  std::uint64_t batch_ = 1;
};

}  // namespace vitrine::encoder::cpu
