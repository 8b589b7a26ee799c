#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vitrine::index {

struct Hit {
  float score;
  std::int64_t row;
};

/// The one order of hits: higher score first, equal scores by ascending row. It is total, so that a
/// result does not depend on the order in which rows were compared or on the number of threads.
inline bool better(const Hit& a, const Hit& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/// `better` as an object, which heaps can inline.
struct Better {
  bool operator()(const Hit& a, const Hit& b) const { return better(a, b); }
};

/// Keeps the k best of the hits offered to it.
class TopK {
 public:
  /// k: at least 1.
  explicit TopK(std::size_t k) : k_(std::max<std::size_t>(k, 1)) {}

  bool full() const { return hits_.size() == k_; }
  std::size_t size() const { return hits_.size(); }
  /// The hit that the next better one displaces. Only when size() > 0.
  const Hit& worst() const { return hits_.front(); }

  void offer(const Hit& hit) {
    if (!full()) {
      hits_.push_back(hit);
      std::push_heap(hits_.begin(), hits_.end(), Better());
    } else if (better(hit, worst())) {
      replace_worst(hit);
    }
  }

  void merge(const TopK& other) {
    for (const Hit& hit : other.hits_) offer(hit);
  }

  /// The hits, best first; nothing is kept.
  std::vector<Hit> take() {
    std::sort_heap(hits_.begin(), hits_.end(), Better());
    return std::move(hits_);
  }

 private:
  /// One way down the heap, where taking the worst out and putting another in would be two.
  void replace_worst(const Hit& hit) {
    const std::size_t size = hits_.size();
    std::size_t hole = 0;
    for (std::size_t child = 1; child < size; child = 2 * hole + 1) {
      if (child + 1 < size && better(hits_[child], hits_[child + 1])) ++child;
      if (!better(hit, hits_[child])) break;
      hits_[hole] = hits_[child];
      hole = child;
    }
    hits_[hole] = hit;
  }

  std::size_t k_;
  std::vector<Hit> hits_;  // a heap whose front is the worst
};

}  // namespace vitrine::index
