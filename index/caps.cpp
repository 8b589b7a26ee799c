#include "index/caps.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "index/k_means.h"
#include "index/large_array.h"
#include "index/padding.h"
#include "index/parallel.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

/// Vectors of a cap, on average: about a quarter of the square root of all of them, so that
/// comparing the centres takes about as long as comparing what is in the caps that are reached.
constexpr std::size_t kLeastMembers = 16;
/// Fewer vectors are scanned before caps would repay choosing among them.
constexpr std::size_t kLeastVectors = 4096;
/// Vectors a centre that it is learnt from.
constexpr std::size_t kLearntFrom = 64;
constexpr int kIterations = 4;

/// Centres compared with a query at a time.
constexpr std::size_t kAtATime = 256;

/// A centre so near the origin has no direction to speak of.
constexpr double kLeastLength = 1.0 / 16;
/// Of a cap of more than a right angle, which is reached from everywhere: less than any cosine.
constexpr float kWholeCosine = -8;
constexpr float kWholeSine = 8;
/// Angles are counted in double precision and stored in single: what both lose, and more.
constexpr double kMargin = 1e-6;

/// Numbers of a file beside the arrays.
struct Header {
  std::uint64_t caps;
  float longest;
  std::uint32_t unused = 0;
};

std::size_t bytes_of(std::size_t caps, std::size_t vectors) {
  return padded(sizeof(Header)) + padded((caps + 1) * sizeof(std::int32_t)) +
         padded(vectors * sizeof(std::int32_t)) + 3 * padded(vectors * sizeof(float)) +
         padded(vectors * kByteRow) + 4 * padded(caps * sizeof(float)) + padded(caps * kByteRow);
}

std::size_t number_of_caps(std::size_t vectors) {
  const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(vectors)));
  return vectors / std::max(kLeastMembers, root / 4);
}

/// Vectors along the axes, as their codes have them: [count, kByteRow].
Matrix elements_of(const LeadingRows& rows, std::size_t count) {
  Matrix elements(count, kByteRow);
  for (std::size_t row = 0; row < count; ++row) {
    LeadingCodes::decode(rows.codes + row * kByteRow, rows.scales[row], elements.row(row).data());
  }
  return elements;
}

/// Groups of near points, as many as there are caps or fewer.
struct Groups {
  std::vector<std::int32_t> begins;  // among the places, and where the last one ends
  std::vector<std::int32_t> places;  // of the points, group after group
};

Groups group(const Matrix& points) {
  const std::size_t count = number_of_caps(points.rows());
  const std::size_t learnt_from = std::min(points.rows(), count * kLearntFrom);
  Matrix sample(learnt_from, points.cols());
  for (std::size_t i = 0; i < learnt_from; ++i) {
    std::ranges::copy(points.row(i * points.rows() / learnt_from), sample.row(i).begin());
  }
  const Matrix centres =
      k_means(sample, count, kIterations, [&](const Matrix& some, std::span<std::int32_t> nearest) {
        find_nearest(sample, some, nearest);
      });
  std::vector<std::int32_t> nearest(points.rows());
  find_nearest(points, centres, nearest);

  std::vector<std::int32_t> ends(count + 1, 0);
  for (const std::int32_t centre : nearest) ++ends[static_cast<std::size_t>(centre) + 1];
  for (std::size_t i = 0; i < count; ++i) ends[i + 1] += ends[i];
  Groups groups{ends, std::vector<std::int32_t>(points.rows())};
  for (std::size_t i = 0; i < points.rows(); ++i) {
    std::int32_t& at = ends[static_cast<std::size_t>(nearest[i])];
    groups.places[static_cast<std::size_t>(at++)] = static_cast<std::int32_t>(i);
  }
  // Those of no points begin where the next one does.
  groups.begins.erase(std::unique(groups.begins.begin(), groups.begins.end()), groups.begins.end());
  return groups;
}

/// What the mean and an element along each axis say together: [dimension].
std::vector<double> vector_of(const std::vector<float>& mean, const Matrix& axes,
                              const std::uint8_t* code, float scale) {
  std::vector<double> vector(mean.begin(), mean.end());
  double elements[kByteRow];
  LeadingCodes::decode(code, scale, elements);
  for (std::size_t i = 0; i < kByteRow; ++i) {
    const std::span<const float> axis = axes.row(i);
    for (std::size_t j = 0; j < vector.size(); ++j) vector[j] += elements[i] * axis[j];
  }
  return vector;
}

}  // namespace

struct Caps::Arrays {
  Arrays(Groups of, std::size_t vectors)
      : groups(std::move(of)),
        member_codes(vectors * kByteRow),
        member_scales(vectors),
        member_errors(vectors),
        member_rests(vectors),
        codes(size() * kByteRow),
        scales(size()),
        inverses(size()),
        cosines(size()),
        sines(size()) {}

  std::size_t size() const { return groups.begins.size() - 1; }

  Groups groups;
  LargeArray<std::uint8_t> member_codes;
  LargeArray<float> member_scales;
  LargeArray<float> member_errors;
  LargeArray<float> member_rests;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> inverses;
  std::vector<float> cosines;
  std::vector<float> sines;
};

Caps::Caps(const VectorTable& vectors, const std::vector<float>& mean, const LeadingCodes& leading)
    : dimension_(vectors.dimension()) {
  if (leading.empty() || vectors.size() < kLeastVectors) return;
  const Matrix elements = elements_of(leading.rows(), vectors.size());
  const auto arrays = std::make_shared<Arrays>(group(elements), vectors.size());
  size_ = arrays->size();
  begins_ = arrays->groups.begins.data();
  places_ = arrays->groups.places.data();
  members_ = {arrays->member_codes.data(), arrays->member_scales.data(),
              arrays->member_errors.data(), arrays->member_rests.data()};
  codes_ = arrays->codes.data();
  scales_ = arrays->scales.data();
  inverses_ = arrays->inverses.data();
  cosines_ = arrays->cosines.data();
  sines_ = arrays->sines.data();
  owner_ = arrays;
  own_bytes_ = bytes_of(size_, vectors.size());  // as in a file

  std::mutex mutex;
  double longest = 0;
  parallel_for(size_, threads_for(vectors.size() * dimension_ * 4), [&](std::size_t cap) {
    const double own_longest = fill(cap, vectors, mean, leading, elements, *arrays);
    const std::lock_guard lock(mutex);
    longest = std::max(longest, own_longest);
  });
  longest_ = rounded_up(longest * (1 + kMargin));
}

double Caps::fill(std::size_t cap, const VectorTable& vectors, const std::vector<float>& mean,
                  const LeadingCodes& leading, const Matrix& elements, Arrays& arrays) const {
  const std::size_t begin = begin_of(cap);
  const std::size_t end = begin_of(cap + 1);
  float centre_elements[kByteRow] = {};
  for (std::size_t i = begin; i < end; ++i) {
    const auto place = static_cast<std::size_t>(places_[i]);
    std::copy_n(leading.codes() + place * kByteRow, kByteRow,
                arrays.member_codes.data() + i * kByteRow);
    arrays.member_scales[i] = leading.scales()[place];
    arrays.member_errors[i] = leading.errors()[place];
    arrays.member_rests[i] = leading.rests()[place];
    for (std::size_t j = 0; j < kByteRow; ++j) {
      centre_elements[j] += elements.row(place)[j] / static_cast<float>(end - begin);
    }
  }
  std::uint8_t* code = arrays.codes.data() + cap * kByteRow;
  arrays.scales[cap] = leading.encode_centre(centre_elements, code);

  const std::vector<double> centre = vector_of(mean, leading.axes(), code, arrays.scales[cap]);
  const double length = length_of(centre);
  double least_cosine = length < kLeastLength ? -1 : 1;
  double longest = 0;
  for (std::size_t i = begin; i < end; ++i) {
    const float* vector = vectors.at(static_cast<std::size_t>(places_[i]));
    double along = 0;
    double square = 0;
    for (std::size_t j = 0; j < dimension_; ++j) {
      along += centre[j] * vector[j];
      square += static_cast<double>(vector[j]) * vector[j];
    }
    longest = std::max(longest, std::sqrt(square));
    least_cosine = std::min(least_cosine, along / (length * std::sqrt(square)));
  }
  const double cosine = least_cosine - kMargin;
  const bool whole = !(cosine > 0);
  arrays.inverses[cap] = static_cast<float>(1 / std::max(length, kLeastLength));
  arrays.cosines[cap] = whole ? kWholeCosine : static_cast<float>(cosine);
  arrays.sines[cap] =
      whole ? kWholeSine : static_cast<float>(std::sqrt(1 - cosine * cosine) + kMargin);
  return longest;
}

Caps::Caps(std::string_view bytes, std::size_t vectors, std::size_t dimension,
           std::shared_ptr<const void> owner)
    : dimension_(dimension), owner_(std::move(owner)) {
  if (bytes.empty()) return;
  const auto misfit = [] { return corruption("its caps do not fit its vectors"); };
  Header header;
  if (bytes.size() < sizeof(header)) throw misfit();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.caps == 0 || header.caps > vectors || bytes.size() != bytes_of(header.caps, vectors)) {
    throw misfit();
  }
  size_ = header.caps;
  longest_ = header.longest;
  const char* at = bytes.data() + padded(sizeof(Header));
  const auto take = [&]<class T>(const T*& array, std::size_t count) {
    array = reinterpret_cast<const T*>(at);
    at += padded(count * sizeof(T));
  };
  take(begins_, size_ + 1);
  take(places_, vectors);
  take(members_.scales, vectors);
  take(members_.errors, vectors);
  take(members_.rests, vectors);
  take(members_.codes, vectors * kByteRow);
  take(scales_, size_);
  take(inverses_, size_);
  take(cosines_, size_);
  take(sines_, size_);
  codes_ = reinterpret_cast<const std::uint8_t*>(at);
  const bool in_order = begins_[0] == 0 && std::is_sorted(begins_, begins_ + size_ + 1) &&
                        static_cast<std::size_t>(begins_[size_]) == vectors;
  if (!in_order || !std::all_of(places_, places_ + vectors, [&](std::int32_t place) {
        return place >= 0 && static_cast<std::size_t>(place) < vectors;
      })) {
    throw misfit();
  }
  // Whatever else a file says, cosines are then finite.
  const auto possible = [](float value) { return std::abs(value) <= 16.0F; };
  bool all_possible = possible(longest_);
  for (const float* numbers : {members_.scales, members_.errors, members_.rests}) {
    all_possible = all_possible && std::all_of(numbers, numbers + vectors, possible);
  }
  for (const float* numbers : {scales_, inverses_, cosines_, sines_}) {
    all_possible = all_possible && std::all_of(numbers, numbers + size_, possible);
  }
  if (!all_possible) throw corruption("its caps are not those of unit vectors");
}

void Caps::write_to(const std::function<void(std::string_view)>& write) const {
  if (empty()) return;
  const Header header = {size_, longest_};
  write_padded(write, &header, sizeof(header));
  write_padded(write, begins_, (size_ + 1) * sizeof(std::int32_t));
  const std::size_t vectors = begin_of(size_);
  write_padded(write, places_, vectors * sizeof(std::int32_t));
  for (const float* numbers : {members_.scales, members_.errors, members_.rests}) {
    write_padded(write, numbers, vectors * sizeof(float));
  }
  write_padded(write, members_.codes, vectors * kByteRow);
  for (const float* numbers : {scales_, inverses_, cosines_, sines_}) {
    write_padded(write, numbers, size_ * sizeof(float));
  }
  write_padded(write, codes_, size_ * kByteRow);
}

void Caps::prefetch(std::size_t cap) const {
  constexpr std::size_t kLine = 64;
  const std::size_t end = begin_of(cap + 1);
  for (std::size_t i = begin_of(cap); i < end; i += kLine / kByteRow) {
    __builtin_prefetch(members_.codes + i * kByteRow);
  }
  for (std::size_t i = begin_of(cap); i < end; i += kLine / sizeof(float)) {
    for (const float* numbers : {members_.scales, members_.errors, members_.rests}) {
      __builtin_prefetch(numbers + i);
    }
    __builtin_prefetch(places_ + i);
  }
}

void Caps::cosines(const LeadingQuery& query, float* out) const {
  std::int32_t high[kAtATime];
  std::int32_t low[kAtATime];
  const float inverse = 1 / query.whole_length;
  // |q| is known within the rounding of its square.
  const float margin = static_cast<float>(4 * static_cast<double>(dimension_ + 16) * kUnit);
  for (std::size_t first = 0; first < size_; first += kAtATime) {
    const std::size_t count = std::min(kAtATime, size_ - first);
    const std::uint8_t* codes = codes_ + first * kByteRow;
    byte_dot_kernel().contiguous(query.high.data(), codes, count, high);
    byte_dot_kernel().contiguous(query.low.data(), codes, count, low);
    for (std::size_t i = 0; i < count; ++i) {
      const float score = query.score(scales_[first + i], high[i], low[i]) + query.slack;
      out[first + i] = score * (inverses_[first + i] * inverse) + margin;
    }
  }
}

std::size_t Caps::reached(const LeadingQuery& query, const float* cosines, float enough,
                          std::int32_t* out) const {
  const double of_kernel = static_cast<double>(dimension_ + 16) * kUnit * kMostLength * kMostLength;
  const double most = static_cast<double>(query.whole_length) * longest_ * (1 + kMargin);
  const double least = (enough - of_kernel) / most - kMargin;  // of the cosine between q and x
  std::size_t count = 0;
  if (!(least > 0)) {
    for (std::size_t cap = 0; cap < size_; ++cap) {
      out[count] = static_cast<std::int32_t>(cap);
      count += cosines[cap] > -std::numeric_limits<float>::infinity() ? 1 : 0;
    }
    return count;
  }
  const double cosine = std::min(least, 1.0);
  const auto of_cosine = static_cast<float>(cosine);
  const auto of_sine = static_cast<float>(std::sqrt(1 - cosine * cosine) + kMargin);
  for (std::size_t cap = 0; cap < size_; ++cap) {
    out[count] = static_cast<std::int32_t>(cap);
    count += cosines[cap] >= cosines_[cap] * of_cosine - sines_[cap] * of_sine ? 1 : 0;
  }
  return count;
}

}  // namespace vitrine::index
