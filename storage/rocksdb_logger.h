#pragma once

#include <rocksdb/env.h>

#include <cstdarg>

namespace vitrine::storage {

/// RocksDB's warnings and errors, in the program's log. Its own log would be a file beside the data
/// that it cannot do without: Debian's build ends the process when that cannot be written, as on a
/// full disk.
class RocksdbLogger : public rocksdb::Logger {
 public:
  RocksdbLogger() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  using rocksdb::Logger::Logv;
  void Logv(rocksdb::InfoLogLevel level, const char* format, std::va_list arguments) override;
  /// What options there are is no news.
  void LogHeader(const char* /*format*/, std::va_list /*arguments*/) override {}
};

}  // namespace vitrine::storage
