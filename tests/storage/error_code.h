#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"

namespace vitrine::storage {

/// What the action throws, as "code: message"; a failure when it does not.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

}  // namespace vitrine::storage
