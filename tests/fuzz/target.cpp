#include "tests/fuzz/target.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/compute_threads.h"
#include "base/file.h"

namespace vitrine::fuzz {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

void check_refusal(const Error& error) {
  static const bool log = std::getenv("VITRINE_FUZZ_LOG") != nullptr;
  if (log) std::fprintf(stderr, "refused: %s\n", error.what());
  require(error.code() != ErrorCode::kInternal, error.what());
}

const std::filesystem::path& scratch_folder() {
  static const TemporaryDirectory folder("vitrine-fuzz");
  return folder.path();
}

void write_scratch(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  require(stream.good(), "the scratch folder cannot be written");
}

std::map<std::string_view, std::string_view> split_files(std::string_view input) {
  constexpr std::string_view mark = "=== ";
  std::map<std::string_view, std::string_view> files;
  std::size_t at = input.starts_with(mark) ? 0 : input.find("\n=== ");
  while (at != std::string_view::npos) {
    const std::size_t name = at + (input[at] == '\n' ? 1 : 0) + mark.size();
    const std::size_t name_end = input.find('\n', name);
    if (name_end == std::string_view::npos) break;
    at = input.find("\n=== ", name_end);
    const std::size_t begin = name_end + 1;
    const std::size_t end = at == std::string_view::npos ? input.size() : at;
    files[input.substr(name, name_end - name)] =
        begin < end ? input.substr(begin, end - begin) : std::string_view();
  }
  return files;
}

}  // namespace vitrine::fuzz

/// What libFuzzer and replay.cpp call.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool one_thread = [] {
    vitrine::set_compute_threads_of_this_thread(1);  // findings that do not depend on turns
    return true;
  }();
  static_cast<void>(one_thread);
  vitrine::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
