// The kernels in terms of one vector type. Included once by every kernels_<instruction set>.cpp,
// which defines VITRINE_LANES (floats of a vector register) and VITRINE_ROWS (rows of sums that fit
// into the registers, two vectors each) and is compiled with the flags of its instruction set. All
// is internal to the including file, and nothing here calls an inline function of another header:
// the linker would keep one copy of it for the whole program, perhaps the one that only the newest
// CPUs can run. (Intrinsics are always inlined.)

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cstring>
#include <type_traits>
#include <utility>  // std::integer_sequence

#include "encoder/cpu/kernel_tables.h"

namespace vitrine::encoder::cpu {
namespace {

constexpr int kLanes = VITRINE_LANES;
constexpr int kShorts = 2 * kLanes;
constexpr int kMaxRows = VITRINE_ROWS;

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
using Integers = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using Bits = std::uint32_t __attribute__((vector_size(kLanes * sizeof(std::uint32_t))));
using Shorts = std::int16_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using Longs = std::uint64_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using Halves = std::uint16_t __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));

using Four = float __attribute__((vector_size(4 * sizeof(float))));
using FourIntegers = std::int32_t __attribute__((vector_size(4 * sizeof(std::int32_t))));
using Bytes = std::uint8_t __attribute__((vector_size(kLanes)));
using ShortBytes = std::uint8_t __attribute__((vector_size(kShorts)));

#define VITRINE_INLINE inline __attribute__((always_inline))

VITRINE_INLINE Vector broadcast(float value) { return value - Vector{}; }
VITRINE_INLINE Integers broadcast(std::int32_t value) { return Integers{} + value; }

VITRINE_INLINE Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
VITRINE_INLINE void store(float* p, Vector v) { std::memcpy(p, &v, sizeof(v)); }

template <int... kAt>
VITRINE_INLINE Integers count_up(std::integer_sequence<int, kAt...>) {
  return Integers{kAt...};
}
/// 0, 1, 2 ... in the lanes.
VITRINE_INLINE Integers lane_numbers() {
  return count_up(std::make_integer_sequence<int, kLanes>());
}

VITRINE_INLINE Integers load_integers(const void* p) {
  Integers v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

VITRINE_INLINE Integers bits(Vector v) { return reinterpret_cast<Integers>(v); }
VITRINE_INLINE Vector as_float(Integers v) { return reinterpret_cast<Vector>(v); }

/// Rounds to nearest, ties to even; a NaN stays one.
VITRINE_INLINE Halves to_halves(Vector v) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<Halves>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
#else
  const Bits b = reinterpret_cast<Bits>(v);
  const Bits rounded = b + 0x7fff + ((b >> 16) & 1);
  const Bits kept = v == v ? rounded : (b | 0x400000);
  return __builtin_convertvector(kept >> 16, Halves);
#endif
}
VITRINE_INLINE Vector from_halves(Halves h) {
  return as_float(__builtin_convertvector(h, Integers) << 16);
}
VITRINE_INLINE Vector load(const BFloat16* p) {
  Halves h;
  std::memcpy(&h, p, sizeof(h));
  return from_halves(h);
}
VITRINE_INLINE void store(BFloat16* p, Vector v) {
  const Halves h = to_halves(v);
  std::memcpy(p, &h, sizeof(h));
}

// The bfloat16 numbers of pairs, as the bits of float32.
VITRINE_INLINE Integers lower_halves(Integers pairs) { return pairs << 16; }
VITRINE_INLINE Integers upper_halves(Integers pairs) {
  return pairs & static_cast<std::int32_t>(0xffff0000);
}

/// The first `count` values, zeros behind them.
template <typename T>
VITRINE_INLINE Vector load_some(const T* p, int count) {
  T values[kLanes] = {};
  std::memcpy(values, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(values);
}
template <typename T>
VITRINE_INLINE void store_some(T* p, Vector v, int count) {
  T values[kLanes];
  store(values, v);
  std::memcpy(p, values, static_cast<std::size_t>(count) * sizeof(T));
}

/// a > b ? a : b, and a < b ? a : b, by one instruction, which GCC 12 does not find.
VITRINE_INLINE Vector max(Vector a, Vector b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(
      _mm512_maskz_max_ps(0xffff, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vector>(
      _mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Vector>(
      _mm_max_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
#else
  return a > b ? a : b;
#endif
}
VITRINE_INLINE Vector min(Vector a, Vector b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(
      _mm512_maskz_min_ps(0xffff, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vector>(
      _mm256_min_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Vector>(
      _mm_min_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b)));
#else
  return a < b ? a : b;
#endif
}

/// a * b + c, rounded once where there is an instruction for it. Left to compilers, whether a
/// product and a sum become one would depend on what is around them.
VITRINE_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_fmadd_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
  return reinterpret_cast<Vector>(_mm256_fmadd_ps(
      reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
  return a * b + c;
#endif
}

/// What `both` makes of all lanes: of the lower half with the upper one, until one is left.
template <typename Fourth, typename Lanes, typename Both>
VITRINE_INLINE auto fold_lanes(Lanes v, const Both& both) {
  Fourth fours[kLanes / 4];
  std::memcpy(fours, &v, sizeof(v));
#pragma GCC unroll 2
  for (int width = kLanes / 8; width > 0; width /= 2) {
#pragma GCC unroll 2
    for (int i = 0; i < width; ++i) fours[i] = both(fours[i], fours[i + width]);
  }
  const Fourth pairs = both(fours[0], __builtin_shufflevector(fours[0], fours[0], 2, 3, 2, 3));
  return both(pairs, __builtin_shufflevector(pairs, pairs, 1, 1, 1, 1))[0];
}
VITRINE_INLINE float sum_of_lanes(Vector v) {
  return fold_lanes<Four>(
      v, [](Four a, Four b) __attribute__((always_inline)) { return a + b; });
}
VITRINE_INLINE float max_of_lanes(Vector v) {
  return fold_lanes<Four>(
      v, [](Four a, Four b) __attribute__((always_inline)) { return a > b ? a : b; });
}
VITRINE_INLINE std::int32_t max_of_lanes(Integers v) {
  return fold_lanes<FourIntegers>(
      v,
      [](FourIntegers a, FourIntegers b) __attribute__((always_inline)) { return a > b ? a : b; });
}

#if defined(__AVX512F__)
VITRINE_INLINE Vector nearest(Vector x) {
  return reinterpret_cast<Vector>(
      _mm512_maskz_roundscale_ps(0xffff, reinterpret_cast<__m512>(x), 0));
}
/// x * 2^n
VITRINE_INLINE Vector scale_by_power(Vector x, Vector n) {
  return reinterpret_cast<Vector>(
      _mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(x), reinterpret_cast<__m512>(n)));
}
#endif

/// e^x to about one unit in the last place, for x of at most 88; 0 below -87.3. Cody and Waite's
/// reduction and the minimax polynomial of Cephes' expf.
VITRINE_INLINE Vector exp(Vector x) {
  const auto representable = x > -87.3F;
#if defined(__AVX512F__)
  x = min(x, broadcast(88.0F));
  const Vector n = nearest(x * 1.44269504088896341F);
#else
  x = max(min(x, broadcast(88.0F)), broadcast(-87.3F));
  const Vector shifter = broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
  const Vector shifted = x * 1.44269504088896341F + shifter;
  const Vector n = shifted - shifter;
#endif
  Vector r = x - n * 0.693359375F;
  r = r - n * -2.12194440e-4F;
  Vector p = broadcast(1.9875691500e-4F);
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
#if defined(__AVX512F__)
  return representable ? scale_by_power(p, n) : Vector{};
#else
  // The shifted number's low bits hold n; they become the exponent.
  const Vector power = as_float((bits(shifted) + 127) << 23);
  return representable ? p * power : Vector{};
#endif
}

/// Vectors on which the same is done, each map() on all of them before the next one: a core looks
/// for instructions that can begin among about a hundred, and one vector's wait for one another.
template <int kCount>
struct Vectors {
  Vector each[kCount];
};
constexpr int kSideBySide = kLanes == 16 ? 4 : 1;  // AVX2 has registers for one

/// What the function makes of each vector.
template <int kCount, typename Function>
VITRINE_INLINE Vectors<kCount> map(const Vectors<kCount>& x, const Function& function) {
  Vectors<kCount> out;
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) out.each[i] = function(x.each[i]);
  return out;
}
template <int kCount, typename Function>
VITRINE_INLINE Vectors<kCount> map(const Vectors<kCount>& x, const Vectors<kCount>& y,
                                   const Function& function) {
  Vectors<kCount> out;
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) out.each[i] = function(x.each[i], y.each[i]);
  return out;
}

/// To 2^-14 of itself with AVX-512, to 2^-11 otherwise; exact where there is no instruction.
VITRINE_INLINE Vector guess_of_reciprocal(Vector x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector>(_mm512_maskz_rcp14_ps(0xffff, reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vector>(_mm256_rcp_ps(reinterpret_cast<__m256>(x)));
#else
  return 1.0F / x;
#endif
}

/// 1 / x to two units in the last place, for normal numbers whose reciprocal is one: a division
/// takes as long as ten other instructions.
template <int kCount>
VITRINE_INLINE Vectors<kCount> reciprocal(const Vectors<kCount>& x) {
  const Vectors<kCount> guess = map(x, guess_of_reciprocal);
#if defined(__AVX2__)
  // Newton's step.
  const Vectors<kCount> rest = map(
      x, guess, [](Vector v, Vector g) __attribute__((always_inline)) { return 1.0F - v * g; });
  return map(
      guess, rest, [](Vector g, Vector r) __attribute__((always_inline)) { return g + g * r; });
#else
  return guess;
#endif
}
VITRINE_INLINE Vector reciprocal(Vector x) { return reciprocal(Vectors<1>{{x}}).each[0]; }

/// The error function to a few units in the last place: the rational approximation on [-4, 4] that
/// Eigen's float erf uses.
VITRINE_INLINE Vector erf(Vector x) {
  x = max(min(x, broadcast(4.0F)), broadcast(-4.0F));
  const Vector s = x * x;
  Vector p = broadcast(-2.72614225801306e-10F);
  p = p * s + 2.77068142495902e-08F;
  p = p * s + -2.10102402082508e-06F;
  p = p * s + -5.69250639462346e-05F;
  p = p * s + -7.34990630326855e-04F;
  p = p * s + -2.95459980854025e-03F;
  p = p * s + -1.60960333262415e-02F;
  Vector q = broadcast(-1.45660718464996e-05F);
  q = q * s + -2.13374055278905e-04F;
  q = q * s + -1.68282697438203e-03F;
  q = q * s + -7.37332916720468e-03F;
  q = q * s + -1.42647390514189e-02F;
  return x * p * reciprocal(q);
}

/// 2^x to 3e-6 of itself, for what will be rounded to 16 bits: fewer instructions than exp(). 0
/// below 2^-126. The polynomial is the minimax one of its degree on [-1/2, 1/2].
template <int kCount>
VITRINE_INLINE Vectors<kCount> rough_exp2(Vectors<kCount> x) {
  const auto polynomial = [](const Vectors<kCount>& f) __attribute__((always_inline)) {
    Vectors<kCount> p = map(
        f,
        [](Vector v) __attribute__((always_inline)) { return 0.00957010221F * v + 0.0559178591F; });
    constexpr float kCoefficients[] = {0.240247443F, 0.693121791F, 0.999999285F};
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const float coefficient = kCoefficients[i];
      p = map(
          p, f, [coefficient](Vector q, Vector v) __attribute__((always_inline)) {
            return q * v + coefficient;
          });
    }
    return p;
  };
  const auto minus = [](Vector a, Vector b) __attribute__((always_inline)) { return a - b; };
#if defined(__AVX512F__)
  const Vectors<kCount> n = map(x, nearest);
  return map(polynomial(map(x, n, minus)), n, scale_by_power);
#else
  const Vectors<kCount> unbounded = x;
  x = map(
      x, [](Vector v) __attribute__((always_inline)) {
        return max(min(v, broadcast(127.0F)), broadcast(-126.0F));
      });
  // As in exp().
  const Vector shifter = broadcast(12582912.0F);
  const Vectors<kCount> shifted = map(
      x, [=](Vector v) __attribute__((always_inline)) { return v + shifter; });
  const Vectors<kCount> n = map(
      shifted, [=](Vector v) __attribute__((always_inline)) { return v - shifter; });
  const Vectors<kCount> powers = map(
      polynomial(map(x, n, minus)), shifted, [](Vector p, Vector s) __attribute__((always_inline)) {
        return p * as_float((bits(s) + 127) << 23);
      });
  return map(
      unbounded, powers, [](Vector v, Vector power) __attribute__((always_inline)) {
        return v > -126.0F ? power : Vector{};
      });
#endif
}
VITRINE_INLINE Vector rough_exp2(Vector x) { return rough_exp2(Vectors<1>{{x}}).each[0]; }
constexpr float kLog2OfE = 1.44269504F;

/// To 2^-14 of itself, for what will be rounded to bfloat16. That of infinity is 0.
VITRINE_INLINE Vector rough_reciprocal(Vector x) {
#if defined(__AVX512F__)
  return guess_of_reciprocal(x);
#else
  return reciprocal(x);
#endif
}

/// x * sigmoid(factor * t). Out: what the result will be rounded to; of 16-bit integers, those of
/// block floating point.
template <typename Out, int kCount>
VITRINE_INLINE Vectors<kCount> gate(const Vectors<kCount>& x, const Vectors<kCount>& t,
                                    float factor) {
  const auto add_one = [](Vector v) __attribute__((always_inline)) { return 1.0F + v; };
  const auto times = [](Vector a, Vector b) __attribute__((always_inline)) { return a * b; };
  if constexpr (sizeof(Out) == sizeof(float)) {
    return map(
        x, t, [factor](Vector a, Vector b) __attribute__((always_inline)) {
          return a * reciprocal(1.0F + exp(b * -factor));
        });
  } else if constexpr (std::is_same_v<Out, std::int16_t>) {
    // Beyond 2^126 there is no normal reciprocal, and what a step of a block cannot tell from 0.
    const Vectors<kCount> powers = map(
        t, [factor](Vector v) __attribute__((always_inline)) {
          return min(v * (-factor * kLog2OfE), broadcast(126.0F));
        });
    return map(x, reciprocal(map(rough_exp2(powers), add_one)), times);
  } else {
    const Vectors<kCount> powers = map(
        t, [factor](Vector v) __attribute__((always_inline)) { return v * (-factor * kLog2OfE); });
    return map(x, map(map(rough_exp2(powers), add_one), rough_reciprocal), times);
  }
}
template <typename Out, int kCount>
VITRINE_INLINE Vectors<kCount> quick_gelu(const Vectors<kCount>& x) {
  return gate<Out>(x, x, 1.702F);
}
/// (1 + tanh(t)) / 2 is sigmoid(2 t); the factor is 2 sqrt(2 / pi).
template <typename Out, int kCount>
VITRINE_INLINE Vectors<kCount> gelu_tanh(const Vectors<kCount>& x) {
  const Vectors<kCount> t = map(
      x, [](Vector v) __attribute__((always_inline)) { return v + 0.044715F * (v * v * v); });
  return gate<Out>(x, t, 1.59576912F);
}
template <int kCount>
VITRINE_INLINE Vectors<kCount> gelu(const Vectors<kCount>& x) {
  return map(
      x, [](Vector v) __attribute__((always_inline)) {
        return v * 0.5F * (1.0F + erf(v * 0.707106781186547524F));
      });
}

// Products.

/// Has cache lines from p on fetched, which need not exist; p goes behind them.
template <int kLines>
VITRINE_INLINE void fetch_lines(const char*& p) {
#pragma GCC unroll 16
  for (int line = 0; line < kLines; ++line) __builtin_prefetch(p + 64 * line, 0, 2);
  p += 64 * kLines;
}

/// Depth of what a block of rows is multiplied with before it fetches again.
constexpr int kChunk = 8;
/// A panel is multiplied in parts of its depth, and the part behind the one in hand is fetched
/// meanwhile. Few rows, which wait for memory, have short parts: what is fetched much earlier does
/// not always stay in the cache. For many rows a part is the whole panel, or as much of a deep one
/// as stays in the nearest cache until all rows have met it.
VITRINE_INLINE int part_depth(int row_blocks, int k) {
  constexpr int kFewBlocks = 2;
  constexpr int kOfFew = 64;
  constexpr int kDeep = 1024;
  constexpr int kOfDeep = 16384 / (2 * kLanes * static_cast<int>(sizeof(float)));
  return row_blocks <= kFewBlocks ? kOfFew : k > kDeep ? kOfDeep : k;
}

/// Where kRows rows of a product's left-hand side are read. An address reaches three rows from one
/// register by their stride; a register each would leave none.
template <int kRows, typename Value>
class RowPointers {
 public:
  VITRINE_INLINE RowPointers(const Value* a, std::size_t stride) : stride_(stride) {
#pragma GCC unroll 4
    for (int i = 0; i < kGroups; ++i)
      groups_[i] = a + static_cast<std::size_t>(i * kReach) * stride;
  }
  VITRINE_INLINE const Value* at(int row, int i) const {
    return groups_[row / kReach] + static_cast<std::size_t>(row % kReach) * stride_ + i;
  }
  VITRINE_INLINE void advance(int by) {
#pragma GCC unroll 4
    for (const Value*& group : groups_) {
      group += by;
      asm("" : "+r"(group));  // else compilers keep a pointer to each row
    }
  }

 private:
  static constexpr int kReach = 3;
  static constexpr int kGroups = (kRows + kReach - 1) / kReach;
  const Value* groups_[kGroups];
  std::size_t stride_;
};

/// Of more rows than this a product multiplies so many by values in memory, which takes fewer
/// instructions and more loads than to broadcast them to a register first. Both are scarce where
/// another thread has half of the core.
constexpr int kRowsFromMemory = kLanes == 16 ? 6 : 0;

/// sum += *value * b
VITRINE_INLINE void add_product_from_memory(Vector& sum, const float* value, Vector b) {
#if defined(__AVX512F__)
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(b), "m"(*value));
#else
  sum += broadcast(*value) * b;
#endif
}

/// Of kRows rows at 2 * kLanes columns. adds: to what c has, else c is set. fetched: from where on
/// kLines cache lines are, a chunk.
template <int kRows, int kLines>
VITRINE_INLINE void multiply_rows(const float* a, std::size_t a_stride, const float* b,
                                  std::size_t b_stride, int k, bool adds, float* c,
                                  std::size_t c_stride, const char* fetched) {
  Vector left[kRows], right[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const float* sums = c + static_cast<std::size_t>(r) * c_stride;
    left[r] = adds ? load(sums) : Vector{};
    right[r] = adds ? load(sums + kLanes) : Vector{};
  }
  RowPointers<kRows, float> rows(a, a_stride);
  const auto multiply_one = [&](int i) __attribute__((always_inline)) {
    const Vector b_left = load(b);
    const Vector b_right = load(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float* value = rows.at(r, i);
      if (kRows > kRowsFromMemory && r < kRowsFromMemory) {
        add_product_from_memory(left[r], value, b_left);
        add_product_from_memory(right[r], value, b_right);
      } else {
        const Vector values = broadcast(*value);
        left[r] += values * b_left;
        right[r] += values * b_right;
      }
    }
    b += b_stride;
  };
  for (int first = 0; first < k; first += kChunk) {
    fetch_lines<kLines>(fetched);
    if (first + kChunk <= k) {
#pragma GCC unroll 8
      for (int i = 0; i < kChunk; ++i) multiply_one(i);
      rows.advance(kChunk);
    } else {
      for (int i = first; i < k; ++i) {
        multiply_one(0);
        rows.advance(1);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    store(c + static_cast<std::size_t>(r) * c_stride, left[r]);
    store(c + static_cast<std::size_t>(r) * c_stride + kLanes, right[r]);
  }
}

/// Rows as products take them: in blocks of kMost at most, whose sums fit into the registers, as
/// equal as they can be.
template <int kMost>
struct RowBlocks {
  int count;
  int rows;    // of a block
  int larger;  // so many, the first ones, have one row more

  VITRINE_INLINE explicit RowBlocks(int all)
      : count(all > kMost ? (all + kMost - 1) / kMost : 1),
        rows(all / count),
        larger(all % count) {}

  /// Calls body.run<r>(first row, block) for each block, of r rows.
  template <typename Body>
  VITRINE_INLINE void for_each(const Body& body) const {
    int first = 0;
    for (int block = 0; block < count; ++block) {
      const int size = rows + (block < larger ? 1 : 0);
      run<kMost>(size, first, block, body);
      first += size;
    }
  }

 private:
  template <int kRows, typename Body>
  VITRINE_INLINE static void run(int size, int first, int block, const Body& body) {
    if constexpr (kRows > 0) {
      if (size == kRows) {
        body.template run<kRows>(static_cast<std::size_t>(first), block);
      } else {
        run<kRows - 1>(size, first, block, body);
      }
    }
  }
};

/// Calls work(std::integral_constant<int, lines>()) with the cache lines that each block of rows
/// fetches where all together fetch kLines, or somewhat more: the fewer cases, the less code. Other
/// registers than AVX2's hold so many rows that few texts take more than two blocks.
template <int kLines, typename Work>
VITRINE_INLINE void fetch_together(int blocks, const Work& work) {
  const auto fetch = [&]<int kBlocks>(std::integral_constant<int, kBlocks>)
      __attribute__((always_inline)) {
    work(std::integral_constant<int, (kLines + kBlocks - 1) / kBlocks>());
  };
  if (blocks == 1) {
    fetch(std::integral_constant<int, 1>());
  } else if constexpr (kLanes != 8) {
    fetch(std::integral_constant<int, 2>());
  } else if (blocks == 2) {
    fetch(std::integral_constant<int, 2>());
  } else if (blocks == 3) {
    fetch(std::integral_constant<int, 3>());
  } else if (blocks < 8) {
    fetch(std::integral_constant<int, 4>());
  } else {
    fetch(std::integral_constant<int, 8>());
  }
}

/// Pairs or fours of the depth that a step of a product takes: the fewer steps, the fewer
/// instructions that only count and fetch.
constexpr int kUnrolled = 4;

/// Fetches memory that will be needed next, as much as is multiplied. In a step of a product as
/// much is read as kLines cache lines: a block of rows that is alone fetches as many, of several
/// each does half of it.
template <int kLines>
struct FetchPart {
  const char* next;
  bool alone;

  VITRINE_INLINE void fetch() {
    constexpr int kHalf = (kLines + 1) / 2;
    fetch_lines<kHalf>(next);
    if (alone) fetch_lines<kLines - kHalf>(next);
  }
};
/// What a step reads of a panel: of pairs at 2 * kLanes columns, of fours of bytes at kLanes.
constexpr int kPairLines = kUnrolled * 8 * kLanes / 64;
constexpr int kFourLines = kUnrolled * 4 * kLanes / 64;

/// What instructions multiply is wider than bfloat16 and 8-bit numbers. Rows are widened once for
/// all columns, so that a product broadcasts their values from memory, and so much of their depth
/// at a time that they stay in the nearest cache.
constexpr int kWideDepth = 512;

/// c += a times a panel of bfloat16 pairs. a: [kRows, k] widened, rows at kWideDepth; c: rows at
/// kPanelColumns.
template <int kRows>
VITRINE_INLINE void multiply_wide_rows(const float* a, const BFloat16* panel, int k,
                                       FetchPart<kPairLines> part, float* c) {
  for (int col = 0; col < kPanelColumns; col += 2 * kLanes) {
    Vector left[kRows], right[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      left[r] = load(c + r * kPanelColumns + col);
      right[r] = load(c + r * kPanelColumns + col + kLanes);
    }
    const BFloat16* pairs = panel + std::ptrdiff_t{2} * col;
    for (int i = 0; i < k; i += 2 * kUnrolled) {
      part.fetch();
      // The even and the odd numbers of the pairs are halves of 32 bits. One after the other, for
      // together they would take the registers of sums.
#pragma GCC unroll 8
      for (int number = 0; number < 2 * kUnrolled; ++number) {
        const auto half = [number](Integers pair) __attribute__((always_inline)) {
          return as_float(number % 2 == 1 ? upper_halves(pair) : lower_halves(pair));
        };
        const BFloat16* at = pairs + std::ptrdiff_t{2} * (number / 2) * kPanelColumns;
        const Vector b_left = half(load_integers(at));
        const Vector b_right = half(load_integers(at + 2 * kLanes));
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vector value = broadcast(a[r * kWideDepth + i + number]);
          left[r] += value * b_left;
          right[r] += value * b_right;
        }
      }
      pairs += std::ptrdiff_t{2} * kUnrolled * kPanelColumns;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      store(c + r * kPanelColumns + col, left[r]);
      store(c + r * kPanelColumns + col + kLanes, right[r]);
    }
  }
}

/// Products of 16-bit numbers, added in pairs: exact when the numbers come from 8 bits.
VITRINE_INLINE Integers multiply_pairs(Integers a, Integers b) {
#if defined(__AVX512BW__)
  return reinterpret_cast<Integers>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<Integers>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<Integers>(
      _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

/// sum += multiply_pairs(a, b), by an instruction that compilers do not see through. They know that
/// integers may be added in any order: of an unrolled loop they make all products first, and for
/// want of registers keep them in memory.
VITRINE_INLINE void add_pairs(Integers& sum, Integers a, Integers b) {
#if defined(__AVX512VNNI__)
  sum = reinterpret_cast<Integers>(_mm512_dpwssd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#else
  const Integers products = multiply_pairs(a, b);
#if defined(__AVX2__)
  asm("vpaddd %1, %0, %0" : "+v"(sum) : "v"(products));
#elif defined(__SSE2__)
  asm("paddd %1, %0" : "+x"(sum) : "x"(products));
#else
  sum += products;
#endif
#endif
}

/// 2 * kLanes numbers as 16-bit ones. Of the portable line compilers make several times as much.
VITRINE_INLINE Integers load_wide(const std::int8_t* p) {
#if defined(__AVX512BW__)
  return reinterpret_cast<Integers>(
      _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<Integers>(
      _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__SSE2__)
  const __m128i numbers = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return reinterpret_cast<Integers>(_mm_srai_epi16(_mm_unpacklo_epi8(numbers, numbers), 8));
#else
  std::int8_t numbers __attribute__((vector_size(2 * kLanes)));
  std::memcpy(&numbers, p, sizeof(numbers));
  return reinterpret_cast<Integers>(__builtin_convertvector(numbers, Shorts));
#endif
}

/// sums[i] += pairs[2 * i] + pairs[2 * i + 1] for i < kLanes / 2.
VITRINE_INLINE void add_halves(Integers pairs, std::int32_t* sums) {
  using Sums = std::int32_t __attribute__((vector_size(kLanes / 2 * sizeof(std::int32_t))));
  const auto both = reinterpret_cast<Longs>(pairs);
  Sums sum;
  std::memcpy(&sum, sums, sizeof(sum));
  sum += __builtin_convertvector(both + (both >> 32), Sums);
  std::memcpy(sums, &sum, sizeof(sum));
}

/// As that of bfloat16, for a panel of 8-bit fours. A vector holds two sums of each of its columns,
/// of two products in four.
template <int kRows>
VITRINE_INLINE void multiply_wide_rows(const std::int16_t* a, const std::int8_t* panel, int k,
                                       FetchPart<kFourLines> part, std::int32_t* c) {
  for (int col = 0; col < kPanelColumns; col += kLanes) {
    Integers left[kRows], right[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) left[r] = right[r] = Integers{};
    const std::int8_t* fours = panel + std::ptrdiff_t{4} * col;
    for (int i = 0; i < k; i += 4 * kUnrolled) {
      part.fetch();
#pragma GCC unroll 4
      for (int four = i; four < i + 4 * kUnrolled; four += 4) {
        const Integers b_left = load_wide(fours);
        const Integers b_right = load_wide(fours + 2 * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          std::uint64_t numbers;
          std::memcpy(&numbers, a + r * kWideDepth + four, sizeof(numbers));
          const auto values = reinterpret_cast<Integers>(Longs{} + numbers);
          add_pairs(left[r], values, b_left);
          add_pairs(right[r], values, b_right);
        }
        fours += std::ptrdiff_t{4} * kPanelColumns;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      add_halves(left[r], c + r * kPanelColumns + col);
      add_halves(right[r], c + r * kPanelColumns + col + kLanes / 2);
    }
  }
}

template <int kLines>
struct MultiplyBody {
  const float* a;
  std::size_t a_stride;
  const float* b;
  std::size_t b_stride;
  int k;
  bool adds;
  float* c;
  std::size_t c_stride;
  const char* fetched;
  std::ptrdiff_t fetched_bytes;  // by a block of rows
  template <int kRows>
  VITRINE_INLINE void run(std::size_t first, int block) const {
    multiply_rows<kRows, kLines>(a + first * a_stride, a_stride, b, b_stride, k, adds,
                                 c + first * c_stride, c_stride, fetched + fetched_bytes * block);
  }
};

/// multiply() with kLines cache lines fetched a chunk by each block of rows.
template <int kLines>
void multiply_fetching(const RowBlocks<kMaxRows>& blocks, const float* a, std::size_t a_stride,
                       const float* b, std::size_t b_stride, int cols, int k, float* c,
                       std::size_t c_stride, const float* next) {
  const int most = part_depth(blocks.count, k);
  for (int part = 0; part < k; part += most) {
    const int depth = k - part < most ? k - part : most;
    const float* const behind = b + static_cast<std::size_t>(depth) * b_stride;
    const char* fetched = reinterpret_cast<const char*>(part + depth < k ? behind : next);
    const std::ptrdiff_t bytes = std::ptrdiff_t{depth} * 2 * kLanes * sizeof(float);
    for (int col = 0; col < cols; col += 2 * kLanes) {
      blocks.for_each(MultiplyBody<kLines>{a + part, a_stride, b + col, b_stride, depth, part > 0,
                                           c + col, c_stride, fetched, bytes / blocks.count});
      fetched += bytes;
    }
    b = behind;
  }
}

void multiply(const float* a, std::size_t a_stride, int rows, const float* b, std::size_t b_stride,
              int cols, int k, float* c, std::size_t c_stride, const float* next) {
  const RowBlocks<kMaxRows> blocks(rows);
  if (next == nullptr) {
    multiply_fetching<0>(blocks, a, a_stride, b, b_stride, cols, k, c, c_stride, b);
    return;
  }
  fetch_together<kChunk * 2 * kLanes / kLineValues<float>>(
      blocks.count, [&]<int kLines>(std::integral_constant<int, kLines>) {
        multiply_fetching<kLines>(blocks, a, a_stride, b, b_stride, cols, k, c, c_stride, next);
      });
}

VITRINE_INLINE void widen(const BFloat16* values, int n, float* out) {
  for (int i = 0; i < n; i += kLanes) store(out + i, load(values + i));
}
VITRINE_INLINE void widen(const std::uint8_t* values, int n, std::int16_t* out) {
  for (int i = 0; i < n; ++i) out[i] = values[i];
}

/// multiply_bf16() and multiply_int8() for a block of rows, onto zeros.
template <typename Value, typename Wide, typename Weight, typename Sum>
struct MultiplyWideBody {
  const Value* a;
  std::size_t a_stride;
  int rows;
  RowBlocks<kMaxRows> blocks;
  const Weight* panels;
  int panel_count;
  int k;
  Sum* c;
  template <int kRows>
  VITRINE_INLINE void run(std::size_t first, int block) const {
    constexpr int kLines = sizeof(Weight) == 1 ? kFourLines : kPairLines;
    alignas(64) Wide wide[kRows * kWideDepth];
    const std::size_t panel_size = static_cast<std::size_t>(k) * kPanelColumns;
    for (int part = 0; part < k; part += kWideDepth) {
      const int depth = k - part < kWideDepth ? k - part : kWideDepth;
      for (int r = 0; r < kRows; ++r) {
        widen(a + (first + static_cast<std::size_t>(r)) * a_stride + part, depth,
              wide + r * kWideDepth);
      }
      for (int p = 0; p < panel_count; ++p) {
        const Weight* panel = panels + panel_size * static_cast<std::size_t>(p) +
                              std::ptrdiff_t{part} * kPanelColumns;
        // Panels lie one after the other.
        const std::size_t fetched =
            kPanelColumns * static_cast<std::size_t>(depth * block / blocks.count);
        const FetchPart<kLines> next{reinterpret_cast<const char*>(panel + panel_size + fetched),
                                     blocks.count == 1};
        multiply_wide_rows<kRows>(wide, panel, depth, next,
                                  c + (static_cast<std::size_t>(p * rows) + first) * kPanelColumns);
      }
    }
  }
};

void multiply_bf16(const BFloat16* a, const RowLayout& layout, int rows, const BFloat16* panels,
                   int panel_count, int k, float* c, const BFloat16* /*next*/, int /*next_lines*/) {
  std::memset(c, 0, static_cast<std::size_t>(panel_count * rows) * kPanelColumns * sizeof(*c));
  const RowBlocks<kMaxRows> blocks(rows);
  blocks.for_each(MultiplyWideBody<BFloat16, float, BFloat16, float>{
      a, layout.row_stride, rows, blocks, panels, panel_count, k, c});
}

void multiply_int8(const std::uint8_t* a, const RowLayout& layout, int rows,
                   const std::int8_t* panels, int panel_count, int k, std::int32_t* c,
                   const std::int8_t* /*next*/, int /*next_lines*/) {
  std::memset(c, 0, static_cast<std::size_t>(panel_count * rows) * kPanelColumns * sizeof(*c));
  const RowBlocks<kMaxRows> blocks(rows);
  blocks.for_each(MultiplyWideBody<std::uint8_t, std::int16_t, std::int8_t, std::int32_t>{
      a, layout.row_stride, rows, blocks, panels, panel_count, k, c});
}

/// sum += multiply_pairs(a, the pairs at b). Of one vector at b and several a compilers would keep
/// the vector in a register, which AVX2 has too few of.
VITRINE_INLINE void add_pairs(Integers& sum, Integers a, const std::int16_t* b) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  using Unaligned = Integers __attribute__((aligned(2), may_alias));
  Integers products;
  asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(a), "m"(*reinterpret_cast<const Unaligned*>(b)));
  asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(products));
#else
  add_pairs(sum, a, load_integers(b));
#endif
}

/// Of pairs: so many at most.
#if defined(__AVX512VNNI__)
constexpr int kPairRowsFromMemory = 8;
#else
constexpr int kPairRowsFromMemory = 0;
#endif

/// sum += multiply_pairs(the pair at a everywhere, the pairs at b)
VITRINE_INLINE void add_pairs_from_memory(Integers& sum, const std::int16_t* a,
                                          const std::int16_t* b) {
#if defined(__AVX512VNNI__)
  using Pair = std::int32_t __attribute__((aligned(2), may_alias));
  asm("vpdpwssd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(load_integers(b)), "m"(*reinterpret_cast<const Pair*>(a)));
#else
  std::int32_t pair;
  std::memcpy(&pair, a, sizeof(pair));
  add_pairs(sum, broadcast(pair), b);
#endif
}

/// Vectors of columns that rows meet together in block floating point.
constexpr int kBlockVectors = kLanes == 8 ? 4 : 2;
constexpr int kBlockColumns = kBlockVectors * kLanes;
constexpr int kMaxBlockRows = 2 * kMaxRows / kBlockVectors;
/// What they read of a panel, of each number of the depth.
constexpr int kColumnBytes = 2 * kBlockColumns;

/// A part of the depth, of kRows rows at kBlockColumns of a panel of pairs. a_scales: of the part
/// in each row. kFirst: c is set, else added to. fetched: from where on kLines cache lines are, a
/// step.
template <int kRows, bool kFirst, int kLines>
VITRINE_INLINE void multiply_block(const std::int16_t* a, std::size_t a_stride,
                                   const float* a_scales, std::size_t a_scales_stride,
                                   const std::int16_t* pairs, int depth, const char* fetched,
                                   float* c) {
  Integers sums[kRows][kBlockVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kBlockVectors; ++v) sums[r][v] = Integers{};
  }
  RowPointers<kRows, std::int16_t> rows(a, a_stride);
  for (int i = 0; i < depth; i += 2 * kUnrolled) {
    fetch_lines<kLines>(fetched);
#pragma GCC unroll 4
    for (int pair = 0; pair < kUnrolled; ++pair) {
      const std::int16_t* at = pairs + std::ptrdiff_t{2} * pair * kPanelColumns;
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const std::int16_t* a_pair = rows.at(r, 2 * pair);
        std::int32_t value;
        std::memcpy(&value, a_pair, sizeof(value));
        const Integers values = broadcast(value);
#pragma GCC unroll 4
        for (int v = 0; v < kBlockVectors; ++v) {
          const std::int16_t* b_pairs = at + std::ptrdiff_t{2} * v * kLanes;
          if (r < kPairRowsFromMemory) {
            add_pairs_from_memory(sums[r][v], a_pair, b_pairs);
          } else {
            add_pairs(sums[r][v], values, b_pairs);
          }
        }
      }
    }
    pairs += std::ptrdiff_t{2} * kUnrolled * kPanelColumns;
    rows.advance(2 * kUnrolled);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vector scale = broadcast(a_scales[static_cast<std::size_t>(r) * a_scales_stride]);
#pragma GCC unroll 4
    for (int v = 0; v < kBlockVectors; ++v) {
      float* sum = c + r * kPanelColumns + v * kLanes;
      const Vector exact = __builtin_convertvector(sums[r][v], Vector);
      store(sum, kFirst ? exact * scale : multiply_add(exact, scale, load(sum)));
    }
  }
}

template <bool kFirst, int kLines>
struct MultiplyBlockBody {
  const std::int16_t* a;
  std::size_t a_stride;
  const float* a_scales;
  std::size_t a_scales_stride;
  const std::int16_t* pairs;
  int depth;
  const char* fetched;
  std::ptrdiff_t fetched_bytes;  // by a block of rows
  float* c;
  template <int kRows>
  VITRINE_INLINE void run(std::size_t first, int block) const {
    multiply_block<kRows, kFirst, kLines>(
        a + first * a_stride, a_stride, a_scales + first * a_scales_stride, a_scales_stride, pairs,
        depth, fetched + fetched_bytes * block, c + first * kPanelColumns);
  }
};

/// multiply_blocks() with kLines cache lines fetched a step by each block of rows.
template <int kLines>
void multiply_blocks_fetching(const RowBlocks<kMaxBlockRows>& blocks, const std::int16_t* a,
                              std::size_t a_stride, const float* a_scales,
                              std::size_t a_scales_stride, const std::int16_t* panel, int k,
                              float* c, const std::int16_t* next) {
  // As with floats: parts that stay in the nearest cache, and the one behind fetched.
  for (int part = 0; part < k; part += kBlockDepth) {
    const int depth = k - part < kBlockDepth ? k - part : kBlockDepth;
    const std::ptrdiff_t bytes = std::ptrdiff_t{depth} * kColumnBytes;
    const std::int16_t* const behind = panel + std::ptrdiff_t{depth} * kPanelColumns;
    const char* fetched = reinterpret_cast<const char*>(part + depth < k ? behind : next);
    for (int col = 0; col < kPanelColumns; col += kBlockColumns) {
      const auto multiply = [&]<bool kFirst>(std::bool_constant<kFirst>)
          __attribute__((always_inline)) {
        blocks.for_each(MultiplyBlockBody<kFirst, kLines>{
            a + part, a_stride, a_scales + part / kBlockDepth, a_scales_stride,
            panel + std::ptrdiff_t{2} * col, depth, fetched, bytes / blocks.count, c + col});
      };
      part == 0 ? multiply(std::true_type()) : multiply(std::false_type());
      fetched += bytes;
    }
    panel = behind;
  }
}

void multiply_blocks(const std::int16_t* a, std::size_t a_stride, const float* a_scales,
                     std::size_t a_scales_stride, int rows, const std::int16_t* panel,
                     const float* column_scales, int k, float* c, const std::int16_t* next) {
  // Where nothing is named, what is in the cache already is fetched.
  if (next == nullptr) next = panel;
  const RowBlocks<kMaxBlockRows> blocks(rows);
  fetch_together<kUnrolled * 2 * kColumnBytes / 64>(
      blocks.count, [&]<int kLines>(std::integral_constant<int, kLines>) {
        multiply_blocks_fetching<kLines>(blocks, a, a_stride, a_scales, a_scales_stride, panel, k,
                                         c, next);
      });
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < kPanelColumns; i += kLanes) {
      store(c + i, load(c + i) * load(column_scales + i));
    }
    c += kPanelColumns;
  }
}

// Rows of values.

/// Value i of lines at line_stride.
template <typename Value>
VITRINE_INLINE Value* in_lines(Value* lines, int i, std::size_t line_stride) {
  constexpr int kLine = kLineValues<Value>;
  return lines + static_cast<std::size_t>(i / kLine) * line_stride + i % kLine;
}

/// Calls work(i, count) for every vector of n values; count is kLanes but for the last.
template <typename Full, typename Rest>
VITRINE_INLINE void for_each_vector(int n, const Full& full, const Rest& rest) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) full(i);
  if (i < n) rest(i, n - i);
}

/// The sum of term(vector) over n values; what fills up the last vector is `filling`. Four sums
/// side by side, for an addition takes as long as several can begin.
template <typename Term>
VITRINE_INLINE float sum_of_terms(const float* x, int n, float filling, const Term& term) {
  constexpr int kSums = 4;
  Vector sums[kSums] = {};
  int i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s) sums[s] += term(load(x + i + s * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] += term(load(x + i));
  if (i < n) {
    float filled[kLanes];
    store(filled, broadcast(filling));
    std::memcpy(filled, x + i, static_cast<std::size_t>(n - i) * sizeof(float));
    sums[1] += term(load(filled));
  }
  return sum_of_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/// out(i): where value i belongs, and those behind it that a vector holds.
template <typename Out>
VITRINE_INLINE void normalise_row(const float* x, const float* scale, const float* shift, float eps,
                                  int n, const Out& out) {
  const float mean = sum_of_terms(
                         x, n, 0.0F, [](Vector v) __attribute__((always_inline)) { return v; }) /
                     static_cast<float>(n);
  const auto square = [mean](Vector v) __attribute__((always_inline)) {
    const Vector d = v - mean;
    return d * d;
  };
  const float variance = sum_of_terms(x, n, mean, square) / static_cast<float>(n);
  const float factor = 1.0F / __builtin_sqrtf(variance + eps);
  for_each_vector(
      n,
      [&](int i) {
        store(out(i), (load(x + i) - mean) * factor * load(scale + i) + load(shift + i));
      },
      [&](int i, int count) {
        store_some(out(i),
                   (load_some(x + i, count) - mean) * factor * load_some(scale + i, count) +
                       load_some(shift + i, count),
                   count);
      });
}

void layer_norm(const float* x, const float* scale, const float* shift, float eps, int n,
                float* out) {
  normalise_row(
      x, scale, shift, eps, n, [out](int i) __attribute__((always_inline)) { return out + i; });
}

void layer_norm_bf16(const float* x, const float* scale, const float* shift, float eps, int n,
                     BFloat16* out, std::size_t line_stride) {
  normalise_row(
      x, scale, shift, eps,
      n, [=](int i) __attribute__((always_inline)) { return in_lines(out, i, line_stride); });
}

/// out = function(sums + bias, out), a block of rows.
template <typename Out, typename Function>
VITRINE_INLINE void epilogue(const float* sums, const float* bias, int rows, int n, Out* out,
                             std::size_t out_stride, const Function& function) {
  // Row by row within a column, so that what the function needs stays in registers.
  const auto for_each_row = [&](int i, const auto& work) __attribute__((always_inline)) {
    for (int row = 0; row < rows; ++row) {
      work(sums + row * kPanelColumns + i, out + static_cast<std::size_t>(row) * out_stride + i);
    }
  };
  for_each_vector(
      n,
      [&](int i) __attribute__((always_inline)) {
        const Vector own = load(bias + i);
        for_each_row(
            i, [&](const float* x, Out* to) __attribute__((always_inline)) {
              store(to, function(load(x) + own, to, kLanes));
            });
      },
      [&](int i, int count) __attribute__((always_inline)) {
        const Vector own = load_some(bias + i, count);
        for_each_row(
            i, [&](const float* x, Out* to) __attribute__((always_inline)) {
              store_some(to, function(load_some(x, count) + own, to, count), count);
            });
      });
}

template <typename Out>
void add_bias(const float* sums, const float* bias, int rows, int n, Out* out,
              std::size_t out_stride) {
  epilogue(
      sums, bias, rows, n, out, out_stride,
      [](Vector x, const Out*, int) __attribute__((always_inline)) { return x; });
}

/// Calls work(function) with the activation of vectors, for results that become Out.
template <typename Out, typename Work>
VITRINE_INLINE void with_activation(Activation activation, const Work& work) {
  switch (activation) {
    case Activation::kQuickGelu:
      return work([](const auto& x) __attribute__((always_inline)) { return quick_gelu<Out>(x); });
    case Activation::kGelu:
      return work([](const auto& x) __attribute__((always_inline)) { return gelu(x); });
    case Activation::kGeluTanh:
      return work([](const auto& x) __attribute__((always_inline)) { return gelu_tanh<Out>(x); });
  }
}

template <typename Out>
void activate(const float* sums, const float* bias, Activation activation, int rows, int n,
              Out* out, std::size_t out_stride) {
  with_activation<Out>(
      activation, [&](const auto& function) __attribute__((always_inline)) {
        epilogue(
            sums, bias, rows, n, out,
            out_stride, [&](Vector x, const Out*, int) __attribute__((always_inline)) {
              return function(Vectors<1>{{x}}).each[0];
            });
      });
}

void accumulate(const float* sums, const float* bias, int rows, int n, float* out,
                std::size_t out_stride) {
  epilogue(
      sums, bias, rows, n, out, out_stride,
      [](Vector x, const float* before, int count) __attribute__((always_inline)) {
        return x + (count == kLanes ? load(before) : load_some(before, count));
      });
}

VITRINE_INLINE void store_bytes(std::uint8_t* p, Integers values) {
  const Bytes bytes = __builtin_convertvector(values, Bytes);
  std::memcpy(p, &bytes, sizeof(bytes));
}

/// Of some values and zero, lane by lane.
struct Extent {
  Vector low{};
  Vector high{};
  Vector unfit{};  ///< becomes NaN where a value is not finite

  VITRINE_INLINE void include(Vector v) {
    low = min(v, low);
    high = max(v, high);
    unfit += v * 0.0F;
  }
};

VITRINE_INLINE Extent extent_of(const float* values, int n) {
  Extent extent;
  for_each_vector(
      n, [&](int i) __attribute__((always_inline)) { extent.include(load(values + i)); },
      [&](int i, int count)
          __attribute__((always_inline)) { extent.include(load_some(values + i, count)); });
  return extent;
}

/// Numbers of bfloat16 are in the order of integers, once those below zero are turned around, and
/// what is not finite lies beyond all others.
VITRINE_INLINE Extent extent_of(const BFloat16* values, int n) {
  const auto turn = [](Shorts numbers) __attribute__((always_inline)) {
    return numbers ^ ((numbers >> 15) & 0x7fff);
  };
  Shorts low{}, high{};
  const auto include = [&](const BFloat16* numbers, int count) __attribute__((always_inline)) {
    Shorts some{};
    std::memcpy(&some, numbers, static_cast<std::size_t>(count) * sizeof(BFloat16));
    some = turn(some);
    low = some < low ? some : low;
    high = some > high ? some : high;
  };
  int i = 0;
  for (; i + kShorts <= n; i += kShorts) include(values + i, kShorts);
  if (i < n) include(values + i, n - i);
  Extent extent;
  for (const Shorts ends : {turn(low), turn(high)}) {
    const auto pairs = reinterpret_cast<Integers>(ends);
    extent.include(as_float(lower_halves(pairs)));
    extent.include(as_float(upper_halves(pairs)));
  }
  return extent;
}

/// Values as 8-bit numbers: value * steps + zero, rounded.
struct Rounding {
  float steps;
  float zero;

  /// In the low bytes of the lanes, whose other bytes mean nothing.
  VITRINE_INLINE Integers number(Vector v) const {
    return bits(v * steps + (zero + 12582912.0F));  // 1.5 * 2^23: adding it rounds to an integer
  }
};

VITRINE_INLINE void write_numbers(const float* values, int n, const Rounding& rounding,
                                  std::uint8_t* out, std::size_t line_stride) {
  for_each_vector(
      n,
      [&](int i) __attribute__((always_inline)) {
        store_bytes(in_lines(out, i, line_stride), rounding.number(load(values + i)) & 255);
      },
      [&](int i, int count) __attribute__((always_inline)) {
        std::uint8_t bytes[kLanes];
        store_bytes(bytes, rounding.number(load_some(values + i, count)) & 255);
        std::memcpy(in_lines(out, i, line_stride), bytes, static_cast<std::size_t>(count));
      });
}

VITRINE_INLINE void write_numbers(const BFloat16* values, int n, const Rounding& rounding,
                                  std::uint8_t* out, std::size_t line_stride) {
  const auto write = [&](int i, int count) __attribute__((always_inline)) {
    Integers pairs{};
    std::memcpy(&pairs, values + i, static_cast<std::size_t>(count) * sizeof(BFloat16));
    const Integers even = rounding.number(as_float(lower_halves(pairs)));
    const Integers odd = rounding.number(as_float(upper_halves(pairs)));
    const auto bytes =
        __builtin_convertvector(reinterpret_cast<Shorts>((even & 255) | (odd << 16)), ShortBytes);
    std::memcpy(in_lines(out, i, line_stride), &bytes, static_cast<std::size_t>(count));
  };
  int i = 0;
  for (; i + kShorts <= n; i += kShorts) write(i, kShorts);
  if (i < n) write(i, n - i);
}

template <typename Value>
RowQuantization quantize(const Value* values, int n, std::uint8_t* out, std::size_t line_stride) {
  // Zero is rounded up from a little less than a half, and the steps are longer than they need to
  // be by so little that the largest value is not rounded to 256: no number has to be checked. What
  // float32 rounds of numbers up to 255 is less than 2^-16 each time.
  constexpr float kUp = 0.5F + 0x1p-14F;
  constexpr float kLargest = 255.0F - 0x1p-12F;
  const Extent extent = extent_of(values, n);
  const float least = -max_of_lanes(-extent.low);
  const float range = max_of_lanes(extent.high) - least;
  const bool usable = range > 1e-30F && range < 1e38F;
  const float steps = usable ? kLargest / range : 0.0F;
  const std::int32_t zero = usable ? static_cast<std::int32_t>(-least * steps + kUp) : 0;
  write_numbers(values, n, {steps, static_cast<float>(zero)}, out, line_stride);
  return {range / kLargest + sum_of_lanes(extent.unfit), zero};
}

/// The largest of some absolute values, lane by lane, as integers: numbers without a sign are in
/// their order, infinity and then NaN beyond them.
struct Magnitude {
  Integers largest{};

  VITRINE_INLINE void include(Vector v) {
    const Integers size = bits(v) & 0x7fffffff;
    largest = size > largest ? size : largest;
  }
  VITRINE_INLINE float of_all() const {
    const std::int32_t most = max_of_lanes(largest);
    float value;
    std::memcpy(&value, &most, sizeof(value));
    return value;
  }
};

/// How a block of values is rounded.
struct BlockRounding {
  Rounding rounding;
  float scale;  ///< NaN where a value is not finite

  VITRINE_INLINE explicit BlockRounding(const Magnitude& magnitude) {
    const float most = magnitude.of_all();
    rounding = {most > 1e-30F ? static_cast<float>(kBlockInputLimit) / most : 0.0F, 0.0F};
    scale = most / static_cast<float>(kBlockInputLimit) + most * 0.0F;
  }
  /// Writes the numbers of two vectors.
  VITRINE_INLINE void write(Vector left, Vector right, std::int16_t* out) const {
#if defined(__AVX512BW__)
    using All = std::int16_t __attribute__((vector_size(64)));
    constexpr All kLowHalves = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
    _mm512_storeu_si512(
        out, _mm512_permutex2var_epi16(reinterpret_cast<__m512i>(rounding.number(left)),
                                       reinterpret_cast<__m512i>(kLowHalves),
                                       reinterpret_cast<__m512i>(rounding.number(right))));
#else
    const auto lower = [&](Vector v) __attribute__((always_inline)) {
      return __builtin_convertvector(reinterpret_cast<Bits>(rounding.number(v)), Halves);
    };
    const Halves halves[] = {lower(left), lower(right)};
    std::memcpy(out, halves, sizeof(halves));
#endif
  }
};

void to_blocks(const float* values, int n, std::int16_t* out, float* scales) {
  for (int first = 0; first < n; first += kBlockDepth) {
    const int count = n - first < kBlockDepth ? n - first : kBlockDepth;
    Magnitude magnitude;
    for_each_vector(
        count, [&](int i) __attribute__((always_inline)) { magnitude.include(load(values + i)); },
        [&](int i, int rest)
            __attribute__((always_inline)) { magnitude.include(load_some(values + i, rest)); });
    const BlockRounding block(magnitude);
    constexpr int kTwo = 2 * kLanes;
    int i = 0;
    for (; i + kTwo <= count; i += kTwo) {
      block.write(load(values + i), load(values + i + kLanes), out + i);
    }
    if (i < count) {
      float some[kTwo] = {};
      std::int16_t numbers[kTwo];
      std::memcpy(some, values + i, static_cast<std::size_t>(count - i) * sizeof(*values));
      block.write(load(some), load(some + kLanes), numbers);
      std::memcpy(out + i, numbers, static_cast<std::size_t>(count - i) * sizeof(*out));
    }
    scales[first / kBlockDepth] = block.scale;
    values += count;
    out += count;
  }
}

/// A row of kPanels panels stays in the registers, where they are that many.
template <int kPanels, typename Function>
VITRINE_INLINE void activate_panels(const float* sums, std::size_t panel_stride, const float* bias,
                                    int rows, std::int16_t* out, std::size_t out_stride,
                                    float* scales, std::size_t scales_stride,
                                    const Function& function) {
  constexpr int kOfPanel = kPanelColumns / kLanes;
  for (int row = 0; row < rows; ++row) {
    constexpr int kOfRow = kPanels * kOfPanel;
    constexpr int kTogether = kOfRow % kSideBySide == 0 ? kSideBySide : kOfPanel;
    Vector values[kOfRow];
    Magnitude magnitude;
#pragma GCC unroll 8
    for (int first = 0; first < kOfRow; first += kTogether) {
      Vectors<kTogether> some;
#pragma GCC unroll 4
      for (int i = first; i < first + kTogether; ++i) {
        const float* sum = sums + static_cast<std::size_t>(i / kOfPanel) * panel_stride +
                           row * kPanelColumns + i % kOfPanel * kLanes;
        some.each[i - first] = load(sum) + load(bias + i * kLanes);
      }
      some = function(some);
#pragma GCC unroll 4
      for (int i = first; i < first + kTogether; ++i) {
        values[i] = some.each[i - first];
        magnitude.include(values[i]);
      }
    }
    const BlockRounding block(magnitude);
#pragma GCC unroll 8
    for (int i = 0; i < kOfRow; i += 2) block.write(values[i], values[i + 1], out + i * kLanes);
    *scales = block.scale;
    out += out_stride;
    scales += scales_stride;
  }
}

void activate_blocks(const float* sums, std::size_t panel_stride, const float* bias,
                     Activation activation, int rows, int panels, std::int16_t* out,
                     std::size_t out_stride, float* scales, std::size_t scales_stride) {
  with_activation<std::int16_t>(
      activation, [&](const auto& function) __attribute__((always_inline)) {
        const auto work = [&]<int kPanels>(std::integral_constant<int, kPanels>)
            __attribute__((always_inline)) {
          activate_panels<kPanels>(sums, panel_stride, bias, rows, out, out_stride, scales,
                                   scales_stride, function);
        };
        switch (panels) {
          case 1:
            return work(std::integral_constant<int, 1>());
          case 2:
            return work(std::integral_constant<int, 2>());
          case 3:
            return work(std::integral_constant<int, 3>());
          default:
            return work(std::integral_constant<int, kBlockPanels>());
        }
      });
}

template <bool kOffsets>
VITRINE_INLINE void dequantize_rows(const std::int32_t* sums, const std::int32_t* column_sums,
                                    const float* scales, const RowQuantization* quantization,
                                    int rows, const float* offsets, float* values) {
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < kPanelColumns; i += kLanes) {
      const Integers exact =
          load_integers(sums + i) - load_integers(column_sums + i) * quantization[row].zero;
      Vector value =
          __builtin_convertvector(exact, Vector) * quantization[row].scale * load(scales + i);
      if constexpr (kOffsets) value += load(offsets + i);
      store(values + i, value);
    }
    sums += kPanelColumns;
    values += kPanelColumns;
    if constexpr (kOffsets) offsets += kPanelColumns;
  }
}

void dequantize(const std::int32_t* sums, const std::int32_t* column_sums, const float* scales,
                const RowQuantization* quantization, int rows, const float* offsets,
                float* values) {
  if (offsets == nullptr) {
    dequantize_rows<false>(sums, column_sums, scales, quantization, rows, offsets, values);
  } else {
    dequantize_rows<true>(sums, column_sums, scales, quantization, rows, offsets, values);
  }
}

void softmax(float* row, int count, int padded) {
  // What is not seen is as what exp() turns into zeros.
  const auto seen = [&](Vector v, int i) __attribute__((always_inline)) {
    return count - i >= kLanes ? v : lane_numbers() < count - i ? v : broadcast(-1e30F);
  };
  Vector largest = broadcast(-1e30F);
  for_each_vector(
      padded,
      [&](int i) __attribute__((always_inline)) { largest = max(largest, seen(load(row + i), i)); },
      [&](int i, int rest) __attribute__((always_inline)) {
        largest = max(largest, seen(load_some(row + i, rest), i));
      });
  const float max = max_of_lanes(largest);
  Vector sum{};
  for_each_vector(
      padded,
      [&](int i) __attribute__((always_inline)) {
        const Vector e = exp(seen(load(row + i), i) - max);
        store(row + i, e);
        sum += e;
      },
      [&](int i, int rest) __attribute__((always_inline)) {
        const Vector e = exp(seen(load_some(row + i, rest), i) - max);
        store_some(row + i, e, rest);
        sum += e;
      });
  const float factor = 1.0F / sum_of_lanes(sum);
  for_each_vector(
      padded, [&](int i) __attribute__((always_inline)) { store(row + i, load(row + i) * factor); },
      [&](int i, int rest) __attribute__((always_inline)) {
        store_some(row + i, load_some(row + i, rest) * factor, rest);
      });
}

/// The products of one row with kKeys others. Each is added up in the same order, whatever kKeys
/// is.
template <int kKeys>
VITRINE_INLINE void dot_keys(const float* query, const float* const* keys, int depth, float* out) {
  Vector sums[kKeys];
#pragma GCC unroll 4
  for (int key = 0; key < kKeys; ++key) sums[key] = Vector{};
  for_each_vector(
      depth,
      [&](int i) __attribute__((always_inline)) {
        const Vector own = load(query + i);
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) sums[key] += own * load(keys[key] + i);
      },
      [&](int i, int rest) __attribute__((always_inline)) {
        const Vector own = load_some(query + i, rest);
#pragma GCC unroll 4
        for (int key = 0; key < kKeys; ++key) sums[key] += own * load_some(keys[key] + i, rest);
      });
#pragma GCC unroll 4
  for (int key = 0; key < kKeys; ++key) out[key] = sum_of_lanes(sums[key]);
}

/// kVectors vectors of the weighted sum of values, which lie `first` behind their keys.
template <int kVectors>
VITRINE_INLINE void sum_values(const float* weights, const float* const* keys, std::size_t first,
                               int count, float* out) {
  Vector sums[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sums[v] = Vector{};
  for (int key = 0; key < count; ++key) {
    const Vector weight = broadcast(weights[key]);
    const float* value = keys[key] + first;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[v] += weight * load(value + v * kLanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) store(out + v * kLanes, sums[v]);
}

void attend(const float* query, const float* const* keys, std::size_t value_offset, int count,
            int depth, float* weights, float* out) {
  constexpr int kTogether = 4;
  int key = 0;
  for (; key + kTogether <= count; key += kTogether) {
    dot_keys<kTogether>(query, keys + key, depth, weights + key);
  }
  for (; key < count; ++key) dot_keys<1>(query, keys + key, depth, weights + key);
  softmax(weights, count, count);
  int column = 0;
  for (; column + kTogether * kLanes <= depth; column += kTogether * kLanes) {
    sum_values<kTogether>(weights, keys, value_offset + static_cast<std::size_t>(column), count,
                          out + column);
  }
  for_each_vector(
      depth - column,
      [&](int i) {
        sum_values<1>(weights, keys, value_offset + static_cast<std::size_t>(column + i), count,
                      out + column + i);
      },
      [&](int i, int rest) {
        Vector sum{};
        for (int k = 0; k < count; ++k) {
          sum += weights[k] * load_some(keys[k] + value_offset + column + i, rest);
        }
        store_some(out + column + i, sum, rest);
      });
}

void softmax_bf16(float* row, std::size_t panel_stride, int count, int padded, BFloat16* out) {
  // Calls work(values, columns) for the vectors of the row; columns: how many of them count.
  const auto for_each = [&](const auto& work) __attribute__((always_inline)) {
    float* panel = row;
    for (int first = 0; first < padded; first += kPanelColumns) {
      for (int i = 0; i < kPanelColumns; i += kLanes) {
        const int rest = count - first - i;
        work(panel + i, rest < kLanes ? (rest > 0 ? rest : 0) : kLanes);
      }
      panel += panel_stride;
    }
  };
  const Vector unseen = broadcast(-1e30F);  // what exp() turns into zeros
  const auto seen = [&](const float* values, int columns) __attribute__((always_inline)) {
    return columns == kLanes ? load(values) : lane_numbers() < columns ? load(values) : unseen;
  };
  Vector largest = unseen;
  for_each([&](float* values, int columns)
               __attribute__((always_inline)) { largest = max(largest, seen(values, columns)); });
  const float max = max_of_lanes(largest);
  Vector sum{};
  for_each([&](float* values, int columns) __attribute__((always_inline)) {
    const Vector e = rough_exp2((seen(values, columns) - max) * kLog2OfE);
    store(values, e);
    sum += e;
  });
  const float factor = 1.0F / sum_of_lanes(sum);
  for_each([&](const float* values, int) __attribute__((always_inline)) {
    store(out, load(values) * factor);
    out += kLanes;
  });
}

void to_bf16(const float* values, std::size_t n, BFloat16* out) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(values + i));
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    store_some(out + i, load_some(values + i, rest), rest);
  }
}

void from_bf16(const BFloat16* values, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(values + i));
  if (i < n) {
    const int rest = static_cast<int>(n - i);
    store_some(out + i, load_some(values + i, rest), rest);
  }
}

void interleave_bf16(const float* panel, int pairs, BFloat16* out) {
  for (int pair = 0; pair < pairs; ++pair) {
    for (int col = 0; col < kPanelColumns; col += kLanes) {
      const Integers even = __builtin_convertvector(to_halves(load(panel + col)), Integers);
      const Integers odd =
          __builtin_convertvector(to_halves(load(panel + kPanelColumns + col)), Integers);
      const Integers both = even | (odd << 16);
      std::memcpy(out + std::ptrdiff_t{2} * col, &both, sizeof(both));
    }
    panel += std::ptrdiff_t{2} * kPanelColumns;
    out += std::ptrdiff_t{2} * kPanelColumns;
  }
}

/// Lanes of two vectors in turn, from the lower (kFirst 0) or the upper half (kLanes / 2) of both.
template <int kFirst, int... kAt>
VITRINE_INLINE Integers interleave(Integers a, Integers b, std::integer_sequence<int, kAt...>) {
  return __builtin_shufflevector(a, b, (kFirst + kAt / 2 + kAt % 2 * kLanes)...);
}

/// Of kLanes x kLanes numbers: each perfect shuffle of the vectors brings one bit of a number's row
/// among those of its lane.
VITRINE_INLINE void transpose_square(Integers (&rows)[kLanes]) {
  constexpr auto kAll = std::make_integer_sequence<int, kLanes>();
#pragma GCC unroll 4
  for (int bit = 1; bit < kLanes; bit *= 2) {
    Integers shuffled[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; ++i) {
      shuffled[2 * i] = interleave<0>(rows[i], rows[i + kLanes / 2], kAll);
      shuffled[2 * i + 1] = interleave<kLanes / 2>(rows[i], rows[i + kLanes / 2], kAll);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = shuffled[i];
  }
}

VITRINE_INLINE int round_to_panels(int n) {
  return (n + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
}

void pack_transposed_bf16(const BFloat16* const* rows, int count, int depth, BFloat16* panels) {
  const int padded_depth = round_to_panels(depth);
  for (int first = 0; first < round_to_panels(count); first += kLanes) {
    // Where this vector of columns begins in its panel.
    BFloat16* out =
        panels + static_cast<std::ptrdiff_t>(first / kPanelColumns) * padded_depth * kPanelColumns +
        std::ptrdiff_t{2} * (first % kPanelColumns);
    for (int at = 0; at < padded_depth; at += 2 * kLanes) {
      Integers pairs[kLanes];
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) {
        pairs[r] = Integers{};
        const int rest = depth - at;
        if (first + r < count && rest > 0) {
          const BFloat16* row = rows[first + r] + at;
          if (rest >= 2 * kLanes) {
            pairs[r] = load_integers(row);
          } else {
            std::memcpy(&pairs[r], row, static_cast<std::size_t>(rest) * sizeof(*row));
          }
        }
      }
      transpose_square(pairs);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        std::memcpy(out, &pairs[i], sizeof(pairs[i]));
        out += std::ptrdiff_t{2} * kPanelColumns;
      }
    }
  }
}

void pack_bf16(const BFloat16* const* rows, int count, int depth, BFloat16* panels) {
  for (int panel = 0; panel < depth; panel += kPanelColumns) {
    for (int row = 0; row < round_to_panels(count); row += 2) {
      for (int i = 0; i < kPanelColumns; i += kLanes) {
        const int rest = depth - panel - i;
        const auto half = [&](int r) __attribute__((always_inline)) {
          Halves values{};
          if (r < count && rest >= kLanes) {
            std::memcpy(&values, rows[r] + panel + i, sizeof(values));
          } else if (r < count && rest > 0) {
            std::memcpy(&values, rows[r] + panel + i, static_cast<std::size_t>(rest) * 2);
          }
          return __builtin_convertvector(values, Integers);
        };
        const Integers pairs = half(row) | half(row + 1) << 16;
        std::memcpy(panels, &pairs, sizeof(pairs));
        panels += std::ptrdiff_t{2} * kLanes;
      }
    }
  }
}

void transpose(const float* values, std::size_t stride, int rows, int cols, float* out,
               std::size_t out_stride) {
  const auto transpose_some = [=](int first_row, int last_row, int first_col, int last_col) {
    for (int col = first_col; col < last_col; ++col) {
      for (int row = first_row; row < last_row; ++row) {
        out[static_cast<std::size_t>(col) * out_stride + static_cast<std::size_t>(row)] =
            values[static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(col)];
      }
    }
  };
  const int whole_rows = rows / kLanes * kLanes;
  const int whole_cols = cols / kLanes * kLanes;
  for (int row = 0; row < whole_rows; row += kLanes) {
    for (int col = 0; col < whole_cols; col += kLanes) {
      Integers square[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        square[i] = load_integers(values + static_cast<std::size_t>(row + i) * stride + col);
      }
      transpose_square(square);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        store(out + static_cast<std::size_t>(col + i) * out_stride + row, as_float(square[i]));
      }
    }
    transpose_some(row, row + kLanes, whole_cols, cols);
  }
  transpose_some(whole_rows, rows, 0, cols);
}

constexpr Kernels kGenericKernels = {
    .multiply = multiply,
    .multiply_bf16 = multiply_bf16,
    .multiply_int8 = multiply_int8,
    .multiply_blocks = multiply_blocks,
    .bf16_products = false,
    .tiles = false,
    .quantize = quantize<float>,
    .quantize_bf16 = quantize<BFloat16>,
    .dequantize = dequantize,
    .to_blocks = to_blocks,
    .layer_norm = layer_norm,
    .layer_norm_bf16 = layer_norm_bf16,
    .add_bias = add_bias<float>,
    .add_bias_bf16 = add_bias<BFloat16>,
    .activate = activate<float>,
    .activate_bf16 = activate<BFloat16>,
    .activate_blocks = activate_blocks,
    .accumulate = accumulate,
    .softmax = softmax,
    .softmax_bf16 = softmax_bf16,
    .attend = attend,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .interleave_bf16 = interleave_bf16,
    .pack_transposed_bf16 = pack_transposed_bf16,
    .pack_bf16 = pack_bf16,
    .transpose = transpose,
};

}  // namespace
}  // namespace vitrine::encoder::cpu
