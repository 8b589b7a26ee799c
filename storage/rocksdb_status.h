#pragma once

#include <rocksdb/status.h>

#include <string>

namespace vitrine::storage {

/// The one way from a RocksDB status to our errors. context says what was done to what, such as
/// "cannot read the products of shop". Does nothing when the status is ok.
void throw_if_error(const rocksdb::Status& status, const std::string& context);

}  // namespace vitrine::storage
