# Third parties come as Debian packages (tools/install-deps). Each is linked PRIVATE by the one
# folder that uses it. Header locations are SYSTEM, so that warnings-as-errors is ours alone.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(OpenSSL REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(ICU REQUIRED COMPONENTS uc i18n)
find_package(JPEG REQUIRED)
find_package(TIFF 4.5 REQUIRED)
find_package(OpenCV REQUIRED COMPONENTS core imgproc imgcodecs)
find_package(Boost 1.74 REQUIRED)

# imported_library(<target> <header> <library>...): a package whose own CMake files are missing or
# drag in its build tree.
function(imported_library target header)
  find_path(${target}_INCLUDE_DIR ${header} REQUIRED)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE_DIR})
  foreach(library IN LISTS ARGN)
    find_library(${target}_${library}_LIBRARY ${library} REQUIRED)
    target_link_libraries(${target} INTERFACE ${${target}_${library}_LIBRARY})
  endforeach()
endfunction()

imported_library(thirdparty_torch torch/csrc/api/include/torch/torch.h torch torch_cpu c10)
target_include_directories(thirdparty_torch SYSTEM INTERFACE
  ${thirdparty_torch_INCLUDE_DIR}/torch/csrc/api/include)
# A LibTorch for CUDA registers its device when its library is loaded; no symbol of it is used, so the
# linker must be told to keep it.
find_library(torch_cuda_LIBRARY torch_cuda)
if(torch_cuda_LIBRARY)
  target_link_libraries(thirdparty_torch INTERFACE
    -Wl,--push-state,--no-as-needed ${torch_cuda_LIBRARY} -Wl,--pop-state)
  set(VITRINE_CUDA_FOUND ON)
else()
  set(VITRINE_CUDA_FOUND OFF)
endif()
option(VITRINE_CUDA "Encode on CUDA devices, with LibTorch in the program" ${VITRINE_CUDA_FOUND})
# Debian packages FAISS as a static library, which leaves BLAS and LAPACK to its user, and so is any
# FAISS found here that is static: its own CMake package would have it linked by the CUDA compiler.
# faiss_ROOT or CMAKE_PREFIX_PATH name another than the system's.
set(VITRINE_PREFIX_PATH ${CMAKE_PREFIX_PATH})
list(PREPEND CMAKE_PREFIX_PATH ${faiss_ROOT} $ENV{faiss_ROOT})
imported_library(thirdparty_faiss faiss/Index.h faiss openblas)
set(CMAKE_PREFIX_PATH ${VITRINE_PREFIX_PATH})
target_link_libraries(thirdparty_faiss INTERFACE OpenMP::OpenMP_CXX)
set(VITRINE_GPU_INDEX_FOUND OFF)
if(EXISTS ${thirdparty_faiss_INCLUDE_DIR}/faiss/gpu/GpuIndexFlat.h)
  find_package(CUDAToolkit QUIET)
  set(VITRINE_GPU_INDEX_FOUND ${CUDAToolkit_FOUND})
endif()
option(VITRINE_GPU_INDEX "Search flat and ivf indices on CUDA devices, with the GPU part of FAISS"
  ${VITRINE_GPU_INDEX_FOUND})
if(VITRINE_GPU_INDEX)
  if(NOT VITRINE_GPU_INDEX_FOUND)
    message(FATAL_ERROR "VITRINE_GPU_INDEX takes a FAISS with faiss/gpu/GpuIndexFlat.h (the one found "
      "is in ${thirdparty_faiss_INCLUDE_DIR}; faiss_ROOT names another) and a CUDA toolkit "
      "(CUDAToolkit_ROOT names one)")
  endif()
  target_link_libraries(thirdparty_faiss INTERFACE CUDA::cudart CUDA::cublas)
  message(STATUS "Indices on the GPU: FAISS in ${thirdparty_faiss_INCLUDE_DIR}, "
    "CUDA ${CUDAToolkit_VERSION}")
else()
  message(STATUS "Indices on the GPU: no (FAISS in ${thirdparty_faiss_INCLUDE_DIR})")
endif()
imported_library(thirdparty_deflate libdeflate.h deflate)
imported_library(thirdparty_rocksdb rocksdb/db.h rocksdb)
imported_library(thirdparty_webp webp/decode.h webp)
imported_library(thirdparty_cli11 CLI/CLI.hpp)
imported_library(thirdparty_tomlplusplus toml++/toml.h)
if(VITRINE_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
