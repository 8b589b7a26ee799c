// A catalogue file. The first line names its extension: "json", "jsonl" or "csv".

#include <set>

#include "storage/catalog_reader.h"
#include "tests/fuzz/target.h"

namespace vitrine::fuzz {

void run(std::string_view input) {
  const std::size_t line_end = std::min(input.find('\n'), input.size());
  const std::string_view format = input.substr(0, line_end);
  if (format != "json" && format != "jsonl" && format != "csv") return;
  const auto path = scratch_folder() / ("products." + std::string(format));
  write_scratch(path, input.substr(std::min(line_end + 1, input.size())));
  std::uint64_t seen = 0;
  std::set<std::string> ids;
  refusable([&] {
    const std::uint64_t count = storage::read_catalog(
        path,
        [&](storage::Product&& product) {
          ++seen;
          require(storage::find_fault(product).empty(), "a product has a fault");
          require(ids.insert(product.id).second, "an id is there twice");
        },
        [&](storage::BadRecord&& record) {
          ++seen;
          require(!record.reason.empty(), "a bad record has no reason");
        });
    require(count == seen && count > 0, "a record got no callback, or two");
  });
}

}  // namespace vitrine::fuzz
