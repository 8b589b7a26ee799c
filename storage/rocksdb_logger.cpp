#include "storage/rocksdb_logger.h"

#include <spdlog/spdlog.h>

#include <cstdio>

namespace vitrine::storage {

void RocksdbLogger::Logv(rocksdb::InfoLogLevel level, const char* format, std::va_list arguments) {
  if (level < GetInfoLogLevel()) return;
  char line[1024];  // what is longer is cut
  std::vsnprintf(line, sizeof(line), format, arguments);
  if (level >= rocksdb::InfoLogLevel::ERROR_LEVEL) {
    spdlog::error("rocksdb: {}", line);
  } else {
    spdlog::warn("rocksdb: {}", line);
  }
}

}  // namespace vitrine::storage
