#include "index/k_means.h"

#include <gtest/gtest.h>

#include <set>

#include "base/compute_threads.h"
#include "tests/index/vectors.h"

namespace vitrine::index {
namespace {

Matrix cluster(MatrixView points, std::size_t count, int iterations) {
  return k_means(points, count, iterations,
                 [&](const Matrix& centroids, std::span<std::int32_t> nearest) {
                   find_nearest(points, centroids, nearest);
                 });
}

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  return sum;
}

double distortion(const Matrix& points, const Matrix& centroids) {
  std::vector<std::int32_t> nearest(points.rows());
  find_nearest(points, centroids, nearest);
  double sum = 0;
  for (std::size_t i = 0; i < points.rows(); ++i) {
    sum += distance(points.row(i), centroids.row(static_cast<std::size_t>(nearest[i])));
  }
  return sum;
}

TEST(FindNearest, FindsWhatDoublePrecisionFinds) {
  const Matrix points = clustered_vectors(300, 19, 1);
  const Matrix centroids = clustered_vectors(77, 19, 2);
  std::vector<std::int32_t> nearest(points.rows());
  find_nearest(points, centroids, nearest);
  for (std::size_t i = 0; i < points.rows(); ++i) {
    double best = 1e9;
    for (std::size_t j = 0; j < centroids.rows(); ++j) {
      best = std::min(best, distance(points.row(i), centroids.row(j)));
    }
    const auto found = static_cast<std::size_t>(nearest[i]);
    EXPECT_NEAR(distance(points.row(i), centroids.row(found)), best, 1e-5);
  }
}

TEST(KMeans, PutsCentroidsWherePointsAre) {
  const Matrix points = clustered_vectors(2000, 12, 1);
  const double first = distortion(points, cluster(points, 40, 0));
  const double last = distortion(points, cluster(points, 40, 12));
  EXPECT_LT(last, 0.8 * first);
}

TEST(KMeans, GivesTheSameOnAnyNumberOfThreads) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer cannot see how libgomp's threads synchronise";
#endif
  const Matrix points = clustered_vectors(3000, 16, 1);
  set_compute_threads_of_this_thread(1);
  const Matrix one = cluster(points, 50, 5);
  set_compute_threads_of_this_thread(3);
  const Matrix three = cluster(points, 50, 5);
  set_compute_threads_of_this_thread(1);
  EXPECT_TRUE(std::equal(one.data(), one.data() + 50 * 16, three.data()));
}

TEST(KMeans, TakesFewerPointsThanCentroids) {
  const Matrix points = clustered_vectors(3, 4, 1);
  EXPECT_NEAR(distortion(points, cluster(points, 16, 4)), 0.0, 1e-9);
}

TEST(KMeans, TakesEqualPoints) {
  Matrix points(50, 4);
  for (std::size_t i = 0; i < 50; ++i) points.row(i)[i % 2] = 1;
  EXPECT_NEAR(distortion(points, cluster(points, 8, 6)), 0.0, 1e-9);
}

}  // namespace
}  // namespace vitrine::index
