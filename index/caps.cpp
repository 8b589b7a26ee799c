#include "index/caps.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "index/large_array.h"
#include "index/padding.h"
#include "index/parallel.h"
#include "index/rounding.h"

namespace vitrine::index {
namespace {

/// Vectors of a cap: about a quarter of the square root of all of them, so that comparing the
/// centres takes no longer than comparing what is in the caps that are reached.
constexpr std::size_t kLeastMembers = 16;
constexpr std::size_t kMembersSample = 256;
constexpr int kPowerSteps = 5;

/// A centre so near the origin has no direction to speak of.
constexpr double kLeastLength = 1.0 / 16;
/// Of a cap of more than a right angle, which is reached from everywhere: less than any cosine.
constexpr float kWholeCosine = -8;
constexpr float kWholeSine = 8;
/// Angles are counted in double precision and stored in single: what both lose, and more.
constexpr double kMargin = 1e-6;

using Elements = std::array<float, kByteRow>;

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

std::size_t members_of_cap(std::size_t vectors) {
  const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(vectors)));
  return std::max(kLeastMembers, std::bit_ceil(root / 4));
}

/// A vector along the axes.
Elements elements_of(const LeadingCodes& leading, std::int32_t place) {
  const auto at = static_cast<std::size_t>(place);
  const std::uint8_t* code = leading.codes() + at * kByteRow;
  Elements elements;
  for (std::size_t i = 0; i < kByteRow; ++i) {
    elements[i] = leading.scales()[at] * static_cast<float>(code[i] - 128);
  }
  return elements;
}

Elements mean_of(const std::vector<Elements>& some) {
  Elements mean = {};
  for (const Elements& each : some) {
    for (std::size_t i = 0; i < kByteRow; ++i) mean[i] += each[i];
  }
  for (float& element : mean) element /= static_cast<float>(some.size());
  return mean;
}

float product(const Elements& a, const Elements& b) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < kByteRow; ++i) sum += a[i] * b[i];
  return sum;
}

/// About the direction along which some vectors vary most, by the power method.
Elements principal_direction(std::vector<Elements> some) {
  const Elements mean = mean_of(some);
  for (Elements& each : some) {
    for (std::size_t i = 0; i < kByteRow; ++i) each[i] -= mean[i];
  }
  Elements direction = *std::max_element(
      some.begin(), some.end(),
      [](const Elements& a, const Elements& b) { return product(a, a) < product(b, b); });
  for (int step = 0; step < kPowerSteps; ++step) {
    Elements next = {};
    for (const Elements& each : some) {
      const float along = product(each, direction);
      for (std::size_t i = 0; i < kByteRow; ++i) next[i] += along * each[i];
    }
    const float length = std::sqrt(product(next, next));
    if (!(length > 0)) break;  // they are equal
    for (std::size_t i = 0; i < kByteRow; ++i) direction[i] = next[i] / length;
  }
  return direction;
}

/// Puts those of the places that lie farther along the direction in which they vary most behind the
/// others. Returns the number of the others, a multiple of `members`, about half.
std::size_t split(const LeadingCodes& leading, std::size_t members,
                  std::span<std::int32_t> places) {
  std::vector<Elements> sample;
  const std::size_t sampled = std::min(places.size(), kMembersSample);
  for (std::size_t i = 0; i < sampled; ++i) {
    sample.push_back(elements_of(leading, places[i * places.size() / sampled]));
  }
  const Elements direction = principal_direction(std::move(sample));
  std::vector<std::pair<float, std::int32_t>> along;
  along.reserve(places.size());
  for (const std::int32_t place : places) {
    along.emplace_back(product(elements_of(leading, place), direction), place);
  }
  const std::size_t caps = (places.size() + members - 1) / members;
  const std::size_t half = caps / 2 * members;
  std::nth_element(along.begin(), along.begin() + static_cast<std::ptrdiff_t>(half), along.end());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = along[i].second;
  return half;
}

/// Groups of near vectors, `members` each but for the last. Returns where each begins.
std::vector<std::int32_t> group(const LeadingCodes& leading, std::size_t members,
                                std::span<std::int32_t> places) {
  std::vector<std::int32_t> begins = {0, static_cast<std::int32_t>(places.size())};
  for (bool done = false; !done;) {
    const std::size_t groups = begins.size() - 1;
    std::vector<std::int32_t> middles(groups);
    parallel_for(groups, threads_for(places.size() * kByteRow * 16), [&](std::size_t i) {
      const auto first = static_cast<std::size_t>(begins[i]);
      const std::size_t count = static_cast<std::size_t>(begins[i + 1]) - first;
      const std::size_t half =
          count <= members ? 0 : split(leading, members, places.subspan(first, count));
      middles[i] = static_cast<std::int32_t>(first + half);
    });
    std::vector<std::int32_t> next;
    for (std::size_t i = 0; i < groups; ++i) {
      next.push_back(begins[i]);
      if (middles[i] > begins[i]) next.push_back(middles[i]);
    }
    next.push_back(begins.back());
    done = next.size() == begins.size();
    begins = std::move(next);
  }
  return begins;
}

double length_of(std::span<const double> vector) {
  double square = 0;
  for (const double value : vector) square += value * value;
  return std::sqrt(square);
}

}  // namespace

struct Caps::Arrays {
  std::vector<std::int32_t> begins;
  LargeArray<std::int32_t> places;
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
  if (leading.empty()) return;
  const auto arrays = std::make_shared<Arrays>();
  arrays->places = LargeArray<std::int32_t>(vectors.size());
  const std::span<std::int32_t> places(arrays->places.data(), vectors.size());
  std::iota(places.begin(), places.end(), 0);
  arrays->begins = group(leading, members_of_cap(vectors.size()), places);
  size_ = arrays->begins.size() - 1;
  arrays->codes.resize(size_ * kByteRow);
  for (const auto numbers :
       {&Arrays::scales, &Arrays::inverses, &Arrays::cosines, &Arrays::sines}) {
    ((*arrays).*numbers).resize(size_);
  }
  const std::size_t count = vectors.size();
  arrays->member_codes = LargeArray<std::uint8_t>(count * kByteRow);
  arrays->member_scales = LargeArray<float>(count);
  arrays->member_errors = LargeArray<float>(count);
  arrays->member_rests = LargeArray<float>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(places[i]);
    std::copy_n(leading.codes() + place * kByteRow, kByteRow,
                arrays->member_codes.data() + i * kByteRow);
    arrays->member_scales[i] = leading.scales()[place];
    arrays->member_errors[i] = leading.errors()[place];
    arrays->member_rests[i] = leading.rests()[place];
  }
  begins_ = arrays->begins.data();
  places_ = arrays->places.data();
  members_ = {arrays->member_codes.data(), arrays->member_scales.data(),
              arrays->member_errors.data(), arrays->member_rests.data()};
  codes_ = arrays->codes.data();
  scales_ = arrays->scales.data();
  inverses_ = arrays->inverses.data();
  cosines_ = arrays->cosines.data();
  sines_ = arrays->sines.data();
  owner_ = arrays;

  std::mutex mutex;
  double longest = 0;
  parallel_for(size_, threads_for(vectors.size() * dimension_ * 4), [&](std::size_t cap) {
    const std::span<const std::int32_t> members =
        places.subspan(begin_of(cap), begin_of(cap + 1) - begin_of(cap));
    std::vector<Elements> elements;
    for (const std::int32_t place : members) elements.push_back(elements_of(leading, place));
    arrays->scales[cap] =
        leading.encode_centre(mean_of(elements).data(), arrays->codes.data() + cap * kByteRow);
    std::vector<double> centre(mean.begin(), mean.end());
    for (std::size_t i = 0; i < kByteRow; ++i) {
      const double element =
          static_cast<double>(arrays->scales[cap]) * (codes_[cap * kByteRow + i] - 128);
      const std::span<const float> axis = leading.axes().row(i);
      for (std::size_t j = 0; j < dimension_; ++j) centre[j] += element * axis[j];
    }
    const double length = length_of(centre);
    double least_cosine = length < kLeastLength ? -1 : 1;
    double own_longest = 0;
    for (const std::int32_t place : members) {
      const float* vector = vectors.at(static_cast<std::size_t>(place));
      double along = 0;
      double square = 0;
      for (std::size_t j = 0; j < dimension_; ++j) {
        along += centre[j] * vector[j];
        square += static_cast<double>(vector[j]) * vector[j];
      }
      own_longest = std::max(own_longest, std::sqrt(square));
      least_cosine = std::min(least_cosine, along / (length * std::sqrt(square)));
    }
    arrays->inverses[cap] = static_cast<float>(1 / std::max(length, kLeastLength));
    const double cosine = least_cosine - kMargin;
    const bool whole = !(cosine > 0);
    arrays->cosines[cap] = whole ? kWholeCosine : static_cast<float>(cosine);
    arrays->sines[cap] =
        whole ? kWholeSine : static_cast<float>(std::sqrt(1 - cosine * cosine) + kMargin);
    const std::lock_guard lock(mutex);
    longest = std::max(longest, own_longest);
  });
  longest_ = rounded_up(longest * (1 + kMargin));
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
    __builtin_prefetch(members_.scales + i);
  }
}

void Caps::cosines(const LeadingQuery& query, float* out) const {
  constexpr std::size_t kAtATime = 256;
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
