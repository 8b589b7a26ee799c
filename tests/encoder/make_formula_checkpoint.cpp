// make_formula_checkpoint <folder> <fixtures>: writes the ViT-B/32-sized checkpoint by hand.
#include <cstdio>
#include <exception>

#include "tests/encoder/formula_checkpoint.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_formula_checkpoint <folder> <fixtures>\n");
    return 2;
  }
  try {
    vitrine::encoder::make_formula_checkpoint(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_formula_checkpoint: %s\n", error.what());
    return 1;
  }
  return 0;
}
