# The one place for flags: every target of ours links vitrine_options.
add_library(vitrine_options INTERFACE)
target_compile_options(vitrine_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC bug 105651: GCC 12 warns of an overlap inside std::string's own operator+.
  target_compile_options(vitrine_options INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Clang warns of each `omp simd` loop that it leaves as it is, as it does in builds that are not for speed.
  target_compile_options(vitrine_options INTERFACE -Wno-pass-failed)
endif()
target_include_directories(vitrine_options INTERFACE ${PROJECT_SOURCE_DIR})

if(VITRINE_SANITIZE)
  target_compile_options(vitrine_options INTERFACE
    -fsanitize=${VITRINE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(vitrine_options INTERFACE -fsanitize=${VITRINE_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
