#pragma once

#include <atomic>

#include "engine/experiment.h"

namespace vitrine::engine {

/// Draws queries and what is searched from a snapshot. The same request of the same snapshot draws
/// the same. Errors: see run_experiment().
TestData draw_test_data(const Catalog& catalog, const ExperimentRequest& request,
                        const std::atomic<bool>* cancel);

}  // namespace vitrine::engine
