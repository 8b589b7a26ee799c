// A matrix in a .npy file.

#include "base/npy.h"

#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  const std::filesystem::path path = scratch_folder() / "matrix.npy";
  write_scratch(path, input);
  refusable([&] {
    const NpyReader matrix(path);
    if (matrix.rows() == 0) return;
    require(matrix.cols() <= input.size(), "a matrix has more columns than the file has bytes");
    require(matrix.cols() == 0 || matrix.rows() <= input.size() / matrix.cols(),
            "a matrix has more rows than the file has bytes");
    std::vector<float> values(matrix.cols());
    matrix.read_row(0, values);
    matrix.read_row(matrix.rows() - 1, values);
  });
}

}  // namespace vitrine::fuzz
