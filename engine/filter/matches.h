#pragma once

#include "engine/filter/filter.h"
#include "storage/product.h"

namespace vitrine::engine {

/// Whether a product passes a filter: what a filter means, which attribute_index.h must agree with.
/// Reads only the product's id and attributes.
bool matches(const Filter& filter, const storage::Product& product);

}  // namespace vitrine::engine
