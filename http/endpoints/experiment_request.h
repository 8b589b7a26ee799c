#pragma once

#include <string>

#include "engine/experiment.h"
#include "http/json.h"

namespace vitrine::http {

/// Takes the fields that say what is measured, which experiments and tunings share. Throws
/// InvalidArgument that names the field.
engine::ExperimentRequest read_experiment(FieldReader& fields, const std::string& catalog);

}  // namespace vitrine::http
