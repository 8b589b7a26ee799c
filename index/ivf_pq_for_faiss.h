#pragma once

#include "index/faiss_file.h"
#include "index/pq_lists.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// Hands over what FAISS writes of an index that has the same lists of the same codes: it looks for
/// the lists nearest to a query, and compares the vectors that look best by their codes.
void write_ivf_pq(const PqLists& lists, const VectorTable& vectors, const WriteBytes& write);

}  // namespace vitrine::index
