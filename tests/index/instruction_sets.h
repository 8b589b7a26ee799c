#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/instruction_set.h"

namespace vitrine::index {

/// Names a parametrized test.
inline std::string name_of_set(const testing::TestParamInfo<InstructionSet>& set) {
  return std::string(to_string(set.param));
}

/// For every kernel that this CPU can run.
inline auto every_instruction_set() { return testing::ValuesIn(supported_instruction_sets()); }

}  // namespace vitrine::index
