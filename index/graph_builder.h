#pragma once

#include <functional>

#include "index/codes.h"
#include "index/graph.h"
#include "index/vector_table.h"

namespace vitrine::index {

/// Links every vector into the layers of an empty graph, on the OpenMP threads of the calling
/// thread: after Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search
/// using Hierarchical Navigable Small World graphs", algorithms 1 to 4. Compares codes with codes:
/// a link is as good when it leads to a vector that is nearest within a part in a hundred.
///
/// graph: without links. vectors, codes: in the same places. on_progress: may be empty; called from
/// any thread with how many nodes are linked, every few hundred; what it throws ends the building
/// and reaches the caller.
void build_graph(Graph& graph, const VectorTable& vectors, const CodeTable& codes,
                 const std::function<void(std::size_t linked)>& on_progress);

}  // namespace vitrine::index
