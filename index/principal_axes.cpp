#include "index/principal_axes.h"

#include <faiss/VectorTransform.h>

#include <algorithm>

namespace vitrine::index {

Matrix principal_axes(MatrixView sample, const std::vector<float>& mean) {
  const std::size_t cols = sample.cols;
  // FAISS finds no more axes than it sees rows; further ones, at the mean, change none.
  Matrix centred(std::max(sample.rows, cols), cols);
  for (std::size_t i = 0; i < sample.rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) centred.row(i)[j] = sample.row(i)[j] - mean[j];
  }
  faiss::PCAMatrix pca(static_cast<int>(cols), static_cast<int>(cols));
  pca.train(static_cast<std::int64_t>(centred.rows()), centred.data());
  Matrix axes(cols, cols);
  std::copy_n(pca.PCAMat.begin(), cols * cols, axes.data());
  return axes;
}

}  // namespace vitrine::index
