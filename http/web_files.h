#pragma once

#include <span>
#include <string_view>

namespace vitrine::http {

/// A file of web/, compiled into the program.
struct WebFile {
  std::string_view name;  ///< such as "index.html"
  std::string_view bytes;
};

/// Made by embed_web.cmake.
std::span<const WebFile> web_files();

}  // namespace vitrine::http
