#include "index/pq_lists.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "index/k_means.h"
#include "index/kernels/code_dot.h"
#include "index/kernels/inner_product.h"
#include "index/large_array.h"
#include "index/nearest_lists.h"
#include "index/padding.h"
#include "index/parallel.h"
#include "index/principal_axes.h"
#include "index/products.h"

namespace vitrine::index {
namespace {

/// Elements along the leading axes that lists are told apart by.
constexpr std::size_t kLeading = 64;
constexpr std::size_t kSampleOfAxes = 16'384;
constexpr std::size_t kSampleOfQuantizer = 16'384;
/// More vectors a centroid slow training down without moving the centroids.
constexpr std::size_t kSampleAList = 40;
constexpr int kIterations = 10;
/// Vectors that are turned together.
constexpr std::size_t kRowsATask = 128;
/// Whole numbers at the front of what write_to() writes.
constexpr std::size_t kHeaderNumbers = 4;
/// No number of a sound file is larger: vectors are of unit length.
constexpr float kLargest = 4.0F;

std::size_t number_of_blocks(std::size_t vectors) {
  return (vectors + kBlockVectors - 1) / kBlockVectors;
}

/// Rows [first, last) of `count` evenly spaced ones. count: at most vectors.rows.
Matrix sample_of(MatrixView vectors, std::size_t count, std::size_t first, std::size_t last) {
  Matrix sample(last - first, vectors.cols);
  for (std::size_t i = first; i < last; ++i) {
    std::ranges::copy(vectors.row(vectors.rows * i / count), sample.row(i - first).begin());
  }
  return sample;
}

std::vector<float> mean_of(MatrixView vectors) {
  std::vector<double> sums(vectors.cols, 0.0);
  for (std::size_t i = 0; i < vectors.rows; ++i) {
    for (std::size_t j = 0; j < vectors.cols; ++j) sums[j] += vectors.row(i)[j];
  }
  std::vector<float> mean(vectors.cols);
  for (std::size_t j = 0; j < vectors.cols; ++j) {
    mean[j] = static_cast<float>(sums[j] / static_cast<double>(vectors.rows));
  }
  return mean;
}

/// Rows as they lie along the axes, centred: [vectors.rows, dimension]. On the calling thread.
Matrix turned(const PqModel& model, MatrixView vectors) {
  Matrix result(vectors.rows, vectors.cols);
  products_of_rows(vectors, model.axes, result.data());
  for (std::size_t i = 0; i < vectors.rows; ++i) {
    const std::span<float> row = result.row(i);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] -= model.mean[j];
  }
  return result;
}

/// Calls body(first row, turned rows) for pieces of `count` evenly spaced vectors, on all threads.
template <class Body>
void for_each_turned(const PqModel& model, MatrixView vectors, std::size_t count,
                     const Body& body) {
  const std::size_t tasks = (count + kRowsATask - 1) / kRowsATask;
  parallel_for(tasks, threads_for(count * vectors.cols * vectors.cols), [&](std::size_t task) {
    const std::size_t first = task * kRowsATask;
    const std::size_t last = std::min(count, first + kRowsATask);
    body(first, turned(model, sample_of(vectors, count, first, last)));
  });
}

Matrix leading_of(const Matrix& rows, std::size_t leading) {
  Matrix result(rows.rows(), leading);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    std::copy_n(rows.row(i).begin(), leading, result.row(i).begin());
  }
  return result;
}

/// Puts each row into its list, and leaves of it what the list's centroid does not say.
std::vector<std::int32_t> take_off_centroids(const PqModel& model, Matrix& rows) {
  const std::size_t leading = model.centroids.cols();
  std::vector<std::int32_t> lists(rows.rows());
  find_nearest(leading_of(rows, leading), model.centroids, lists);
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const auto centroid = model.centroids.row(static_cast<std::size_t>(lists[i]));
    for (std::size_t j = 0; j < leading; ++j) rows.row(i)[j] -= centroid[j];
  }
  return lists;
}

/// Reads arrays that lie one behind another, each from a multiple of kCodeAlignment on.
class ArrayReader {
 public:
  explicit ArrayReader(std::string_view bytes) : bytes_(bytes) {}

  /// The next `count` numbers. The caller has made sure that they are there.
  template <class Number>
  const Number* next(std::size_t count) {
    const auto* array = reinterpret_cast<const Number*>(bytes_.data());
    bytes_.remove_prefix(padded(count * sizeof(Number)));
    return array;
  }
  std::vector<float> next_floats(std::size_t count) {
    const float* array = next<float>(count);
    // Whatever else a file says, scores are then finite: they are sorted.
    if (!std::all_of(array, array + count,
                     [](float value) { return std::abs(value) <= kLargest; })) {
      throw corruption("its lists are not those of unit vectors");
    }
    return {array, array + count};
  }

 private:
  std::string_view bytes_;
};

Matrix as_matrix(const std::vector<float>& values, std::size_t rows, std::size_t cols) {
  Matrix matrix(rows, cols);
  std::ranges::copy(values, matrix.data());
  return matrix;
}

}  // namespace

PqModel learn_pq_model(MatrixView vectors, std::size_t lists, std::size_t code_bytes,
                       const std::function<void()>& still_wanted) {
  PqModel model;
  const std::size_t dimension = vectors.cols;
  still_wanted();
  const std::size_t axes_sample = std::min(kSampleOfAxes, vectors.rows);
  const Matrix sample = sample_of(vectors, axes_sample, 0, axes_sample);
  const std::vector<float> mean = mean_of(sample);
  model.axes = principal_axes(sample, mean);
  model.mean.resize(dimension);
  products_of_rows({mean.data(), 1, dimension}, model.axes, model.mean.data());

  still_wanted();
  const std::size_t leading = std::min(kLeading, dimension);
  Matrix points(std::min(lists * kSampleAList, vectors.rows), leading);
  for_each_turned(model, vectors, points.rows(), [&](std::size_t first, const Matrix& rows) {
    const Matrix part = leading_of(rows, leading);
    std::copy_n(part.data(), part.rows() * leading, points.row(first).data());
  });
  model.centroids = k_means(points, lists, kIterations,
                            [&](const Matrix& centroids, std::span<std::int32_t> nearest) {
                              still_wanted();
                              find_nearest(points, centroids, nearest);
                            });

  still_wanted();
  Matrix residuals(std::min(kSampleOfQuantizer, vectors.rows), dimension);
  for_each_turned(model, vectors, residuals.rows(), [&](std::size_t first, Matrix rows) {
    take_off_centroids(model, rows);
    std::copy_n(rows.data(), rows.rows() * dimension, residuals.row(first).data());
  });
  // Tables come in pairs, and a dimension needs no more than one.
  const std::size_t tables = 2 * std::min(code_bytes, (dimension + 1) / 2);
  model.quantizer = ProductQuantizer::learn(residuals, tables);
  return model;
}

struct PqLists::Arrays {
  LargeArray<std::int32_t> rows;
  LargeArray<std::uint8_t> blocks;
};

PqLists::PqLists(PqModel model, MatrixView vectors,
                 const std::function<void(std::size_t)>& progress)
    : model_(std::move(model)), size_(vectors.rows), lists_(model_.centroids.rows()) {
  const std::size_t tables = model_.quantizer.tables();
  std::vector<std::int32_t> list_of(size_);
  LargeArray<std::uint8_t> codes(size_ * tables / 2);  // two in a byte, by row
  std::atomic<std::size_t> done{0};
  for_each_turned(model_, vectors, size_, [&](std::size_t first, Matrix rows) {
    const std::vector<std::int32_t> lists = take_off_centroids(model_, rows);
    std::ranges::copy(lists, list_of.begin() + static_cast<std::ptrdiff_t>(first));
    std::vector<std::uint8_t> own(tables);
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      model_.quantizer.encode(rows.row(i).data(), own.data());
      std::uint8_t* both = codes.data() + (first + i) * tables / 2;
      for (std::size_t j = 0; j < tables / 2; ++j) {
        both[j] = static_cast<std::uint8_t>(own[2 * j] | own[2 * j + 1] << 4);
      }
    }
    progress(done += rows.rows());
  });

  for (const std::int32_t list : list_of) ++lists_[static_cast<std::size_t>(list)].count;
  std::vector<std::size_t> next(lists_.size(), 0);
  for (std::size_t list = 1; list < lists_.size(); ++list) {
    lists_[list].first = next[list] = lists_[list - 1].first + lists_[list - 1].count;
  }
  const auto arrays = std::make_shared<Arrays>();
  arrays->rows = LargeArray<std::int32_t>(size_);
  arrays->blocks = LargeArray<std::uint8_t>(number_of_blocks(size_) * block_bytes());
  for (std::size_t row = 0; row < size_; ++row) {
    arrays->rows[next[static_cast<std::size_t>(list_of[row])]++] = static_cast<std::int32_t>(row);
  }
  parallel_for(number_of_blocks(size_), threads_for(size_ * tables), [&](std::size_t block) {
    std::uint8_t* own = arrays->blocks.data() + block * block_bytes();
    const std::size_t last = std::min(size_, (block + 1) * kBlockVectors);
    for (std::size_t place = block * kBlockVectors; place < last; ++place) {
      const std::uint8_t* both =
          codes.data() + static_cast<std::size_t>(arrays->rows[place]) * tables / 2;
      for (std::size_t j = 0; j < tables / 2; ++j) {
        put_code_in_block(own, 2 * j, place % kBlockVectors, both[j] & 15);
        put_code_in_block(own, 2 * j + 1, place % kBlockVectors, both[j] >> 4);
      }
    }
  });
  rows_ = arrays->rows.data();
  blocks_ = arrays->blocks.data();
  owner_ = arrays;
  own_bytes_ = size_ * sizeof(std::int32_t) + number_of_blocks(size_) * block_bytes();
  prepare();
}

PqLists::PqLists(std::string_view bytes, std::size_t size, std::size_t dimension,
                 std::shared_ptr<const void> owner)
    : size_(size), owner_(std::move(owner)) {
  std::uint64_t header[kHeaderNumbers] = {};
  const std::size_t header_bytes = padded(sizeof(header));
  if (bytes.size() < header_bytes) throw corruption("its lists are too few bytes");
  std::memcpy(header, bytes.data(), sizeof(header));
  const auto [lists, leading, tables, width] = header;
  if (lists < 1 || lists > size || leading < 1 || leading > dimension || dimension > kMaxAxes ||
      tables < 2 || tables > kMaxTables || tables % 2 != 0 ||
      width != (dimension + tables - 1) / tables) {
    throw corruption("its lists do not fit its vectors");
  }
  const std::size_t places = tables * width;
  const std::size_t blocks = number_of_blocks(size) * tables * kBlockVectors / 2;
  if (bytes.size() !=
      header_bytes + padded(dimension * dimension * sizeof(float)) +
          padded(dimension * sizeof(float)) + padded(lists * leading * sizeof(float)) +
          padded(places * sizeof(std::int32_t)) + padded(places * kTableEntries * sizeof(float)) +
          padded(lists * sizeof(std::int32_t)) + padded(size * sizeof(std::int32_t)) +
          padded(blocks)) {
    throw corruption("its lists do not fit its vectors");
  }
  ArrayReader reader(bytes.substr(header_bytes));
  model_.axes = as_matrix(reader.next_floats(dimension * dimension), dimension, dimension);
  model_.mean = reader.next_floats(dimension);
  model_.centroids = as_matrix(reader.next_floats(lists * leading), lists, leading);
  const auto* order = reader.next<std::int32_t>(places);
  if (!std::all_of(order, order + places, [&](std::int32_t at) {
        return at >= -1 && at < static_cast<std::int64_t>(dimension);
      })) {
    throw corruption("its codes are of dimensions that do not exist");
  }
  model_.quantizer =
      ProductQuantizer(tables, {order, order + places}, reader.next_floats(places * kTableEntries));
  const auto* sizes = reader.next<std::int32_t>(lists);
  std::size_t first = 0;
  for (std::size_t list = 0; list < lists; ++list) {
    if (sizes[list] < 0 || static_cast<std::size_t>(sizes[list]) > size - first) {
      throw corruption("its lists are longer than its vectors");
    }
    lists_.push_back({first, static_cast<std::size_t>(sizes[list])});
    first += lists_.back().count;
  }
  rows_ = reader.next<std::int32_t>(size);
  RowSet seen(size);
  for (std::size_t place = 0; place < size; ++place) {
    const auto row = static_cast<std::size_t>(rows_[place]);  // a negative one is beyond all
    if (row >= size || seen.contains(row)) {
      throw corruption("its lists name a row twice or one that does not exist");
    }
    seen.insert(row);
  }
  if (first != size) throw corruption("its lists lack rows");
  blocks_ = reader.next<std::uint8_t>(blocks);
  prepare();
}

void PqLists::write_to(const std::function<void(std::string_view)>& write) const {
  const auto write_array = [&](const auto& array) {
    write_padded(write, array.data(), array.size() * sizeof(array[0]));
  };
  const ProductQuantizer& quantizer = model_.quantizer;
  const std::vector<std::uint64_t> header = {lists_.size(), model_.centroids.cols(),
                                             quantizer.tables(), quantizer.width()};
  std::vector<std::int32_t> sizes;
  for (const PlaceRange& list : lists_) sizes.push_back(static_cast<std::int32_t>(list.count));
  write_array(header);
  write_padded(write, model_.axes.data(), model_.axes.rows() * model_.axes.cols() * sizeof(float));
  write_array(model_.mean);
  write_padded(write, model_.centroids.data(),
               model_.centroids.rows() * model_.centroids.cols() * sizeof(float));
  write_array(quantizer.order());
  write_array(quantizer.centroids());
  write_array(sizes);
  write_padded(write, rows_, size_ * sizeof(std::int32_t));
  write_padded(write, blocks_, number_of_blocks(size_) * block_bytes());
}

std::size_t PqLists::heap_bytes() const {
  const std::size_t floats =
      model_.axes.rows() * model_.axes.cols() + model_.centroids.rows() * model_.centroids.cols() +
      model_.quantizer.centroids().size() + half_squares_.size() + products_with_mean_.size();
  return own_bytes_ + floats * sizeof(float) + lists_.size() * sizeof(PlaceRange);
}

void PqLists::codes_at(std::size_t place, std::uint8_t* codes) const {
  const std::uint8_t* block = blocks_ + place / kBlockVectors * block_bytes();
  for (std::size_t table = 0; table < model_.quantizer.tables(); ++table) {
    codes[table] = code_in_block(block, table, place % kBlockVectors);
  }
}

void PqLists::prepare() {
  half_squares_ = half_squares(model_.centroids);
  products_with_mean_.resize(lists_.size());
  inner_product_kernel().contiguous(model_.mean.data(), model_.centroids.data(), lists_.size(),
                                    model_.centroids.cols(), products_with_mean_.data());
}

std::vector<Hit> PqLists::candidates(const float* query, std::size_t count,
                                     const Effort& effort) const {
  const std::size_t dimension = model_.dimension();
  const std::size_t leading = model_.centroids.cols();
  std::vector<float> turned_query(dimension);
  inner_product_kernel().contiguous(query, model_.axes.data(), dimension, dimension,
                                    turned_query.data());
  const ProductTables tables = model_.quantizer.tables_for(turned_query.data());

  for (std::size_t i = 0; i < leading; ++i) turned_query[i] -= model_.mean[i];
  std::vector<float> products(lists_.size());
  inner_product_kernel().contiguous(turned_query.data(), model_.centroids.data(), lists_.size(),
                                    leading, products.data());
  std::vector<float> nearness(lists_.size());
  for (std::size_t i = 0; i < nearness.size(); ++i) nearness[i] = products[i] - half_squares_[i];
  const auto counts = [&](std::size_t place) {
    return effort.allowed == nullptr ||
           effort.allowed->contains(static_cast<std::size_t>(rows_[place]));
  };
  const auto rows_in = [&](std::size_t list) {
    std::size_t rows = 0;
    const PlaceRange& range = lists_[list];
    for (std::size_t i = 0; i < range.count; ++i) rows += counts(range.first + i) ? 1 : 0;
    return rows;
  };

  const TableSumKernel& kernel = table_sum_kernel();
  const std::size_t pairs = model_.quantizer.tables() / 2;
  std::uint16_t sums[kBlockVectors];
  TopK best(count);
  for (const std::size_t list : nearest_lists(nearness, effort.lists, effort.wanted, rows_in)) {
    const float base = products[list] + products_with_mean_[list] + tables.least;
    const std::size_t end = lists_[list].first + lists_[list].count;
    for (std::size_t place = lists_[list].first; place < end;) {
      const std::size_t block = place / kBlockVectors;
      const std::size_t block_end = std::min(end, (block + 1) * kBlockVectors);
      std::uint16_t least = 0;
      if (best.full()) {
        const float needed = (best.worst().score - base) / tables.step;
        if (needed > 65535.0F) break;  // more than any sum
        least = static_cast<std::uint16_t>(std::max(needed, 0.0F));
      }
      std::uint32_t enough = kernel.sum_block(tables.entries.data(),
                                              blocks_ + block * block_bytes(), pairs, least, sums);
      enough &= ~std::uint32_t{0} << place % kBlockVectors;
      enough &= ~std::uint32_t{0} >> ((block + 1) * kBlockVectors - block_end);
      for (; enough != 0; enough &= enough - 1) {
        const auto at = static_cast<std::size_t>(std::countr_zero(enough));
        const std::size_t found = block * kBlockVectors + at;
        if (!counts(found)) continue;
        best.offer({base + tables.step * static_cast<float>(sums[at]), rows_[found]});
      }
      place = block_end;
    }
  }
  return best.take();
}

}  // namespace vitrine::index
