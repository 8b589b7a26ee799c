#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

/// What every fuzz target is made of. docs/fuzzing.md tells how to run one and how to add one.
namespace vitrine::fuzz {

/// Each target defines it: hands the input to the product and checks what comes out. Whatever the
/// bytes are, it must return; an exception, an abort, a sanitizer's report is a finding. Called
/// many times, by one thread.
void run(std::string_view input);

/// Aborts with `what` unless `holds`: the product broke a promise.
void require(bool holds, const char* what);

/// What refusable() does with an error. kInternal is no refusal: it says that something was not
/// validated. With VITRINE_FUZZ_LOG in the environment the error's message is printed.
void check_refusal(const Error& error);

/// Calls the product, which may refuse what it was given by an Error.
template <typename Call>
void refusable(Call call) {
  try {
    call();
  } catch (const Error& error) {
    check_refusal(error);
  }
}

/// A folder for the files of this process's inputs, removed at its end.
const std::filesystem::path& scratch_folder();

/// Replaces the file. What is written need not survive anything, so it costs no fsync.
void write_scratch(const std::filesystem::path& path, std::string_view bytes);

/// The files that an input of several consists of. A line "=== config.json" begins the file
/// config.json, which ends before the line break of the next such line; what precedes the first is
/// ignored. Views into the input.
std::map<std::string_view, std::string_view> split_files(std::string_view input);

/// Makes `folder` hold exactly the files of the input that are in `names`.
template <typename Names>
void write_files(const std::filesystem::path& folder, const Names& names, std::string_view input) {
  const auto files = split_files(input);
  for (const char* name : names) {
    const auto found = files.find(name);
    if (found == files.end()) {
      std::filesystem::remove(folder / name);
    } else {
      write_scratch(folder / name, found->second);
    }
  }
}

}  // namespace vitrine::fuzz
