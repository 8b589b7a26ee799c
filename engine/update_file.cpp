#include "engine/update_file.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine.h"
#include "storage/catalog_reader.h"

namespace vitrine::engine {
namespace {

/// Products that are encoded and written together: what a file brings is big enough to fill passes
/// of the encoder, and small enough for its progress to be seen.
constexpr std::size_t kBatch = 256;
static_assert(kBatch <= kMaxUpdates);

/// Whether an error of upsert_products() may be about one of the products alone.
bool is_fault_of_a_product(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kNotFound ||
         code == ErrorCode::kPermissionDenied || code == ErrorCode::kResourceExhausted;
}

class FileUpsert {
 public:
  FileUpsert(Engine& engine, const UpsertRequest& request, const UpsertProgress& progress)
      : engine_(engine), request_(request), progress_(progress) {}

  UpsertReport run() {
    engine_.catalog(request_.catalog);  // that it is not there is no product's fault
    const auto on_product = [this](storage::Product&& product) { take(std::move(product)); };
    const auto on_bad = [this](storage::BadRecord&& bad) {
      ++record_;
      fail(bad.record, bad.id, bad.reason);
    };
    if (request_.lines != nullptr) {
      storage::read_catalog_lines(*request_.lines, request_.file, on_product, on_bad,
                                  storage::RequiredFields::kId);
    } else {
      storage::read_catalog(request_.file, on_product, on_bad, storage::RequiredFields::kId);
    }
    write_batch();
    return std::move(report_);
  }

 private:
  void take(storage::Product&& product) {
    ++record_;
    ProductUpdate update;
    update.id = std::move(product.id);
    if (!product.image.empty()) update.image = std::move(product.image);
    if (!product.caption.empty()) update.caption = std::move(product.caption);
    if (!product.attributes.empty()) update.attributes = std::move(product.attributes);
    batch_.push_back(std::move(update));
    records_.push_back(record_);
    if (batch_.size() == kBatch) write_batch();
  }

  void write_batch() {
    if (!batch_.empty()) write(0, batch_.size());
    batch_.clear();
    records_.clear();
  }

  /// Products [begin, end) of the batch. Half by half where one of them cannot be written.
  void write(std::size_t begin, std::size_t end) {
    const auto part = std::span(batch_).subspan(begin, end - begin);
    try {
      for (const UpdateResult& result : engine_.upsert_products(request_.catalog, part)) {
        ++(result.existed ? report_.changed : report_.created);
        report_.sequence = result.sequence;
      }
    } catch (const Error& error) {
      if (!is_fault_of_a_product(error.code())) throw;
      if (part.size() > 1) {
        const std::size_t middle = begin + part.size() / 2;
        write(begin, middle);
        write(middle, end);
        return;
      }
      fail(records_[begin], part[0].id, error.what());
    }
    if (progress_) progress_(report_.created + report_.changed + report_.failed);
  }

  void fail(std::uint64_t record, const std::string& id, const std::string& reason) {
    if (request_.strict) {
      throw invalid_argument(fmt::format("record {} (id \"{}\") cannot be written: {}", record,
                                         printable(id), printable(reason, 1000)));
    }
    ++report_.failed;
    if (report_.failures.size() < IndexReport::kMaxListedFailures) {
      report_.failures.push_back({id, record, printable(reason, 1000)});
    }
  }

  Engine& engine_;
  const UpsertRequest& request_;
  const UpsertProgress& progress_;
  UpsertReport report_;
  std::uint64_t record_ = 0;            // records read
  std::vector<ProductUpdate> batch_;    // not written yet
  std::vector<std::uint64_t> records_;  // their numbers
};

}  // namespace

UpsertReport upsert_file(Engine& engine, const UpsertRequest& request,
                         const UpsertProgress& progress) {
  return FileUpsert(engine, request, progress).run();
}

}  // namespace vitrine::engine
