#include "storage/rocksdb_status.h"

#include "base/error.h"

namespace vitrine::storage {

void throw_if_error(const rocksdb::Status& status, const std::string& context) {
  if (status.ok()) return;
  const std::string message = context + ": " + status.ToString();
  if (status.IsCorruption() || status.IsPathNotFound()) {
    throw corruption(message + "; restore the data folder, or delete its meta folder and reindex");
  }
  if (status.IsIOError() || status.IsNoSpace() || status.IsMemoryLimit() || status.IsBusy() ||
      status.IsTimedOut() || status.IsTryAgain() || status.IsShutdownInProgress()) {
    throw unavailable(message);
  }
  throw internal_error(message);
}

}  // namespace vitrine::storage
