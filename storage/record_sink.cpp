#include "storage/record_sink.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace vitrine::storage {
namespace {

using nlohmann::json;

/// Moves a text field out of the record; returns what is wrong with its type, if anything.
std::string take_text(json& record, const char* field, std::string& text) {
  const auto entry = record.find(field);
  if (entry == record.end() || entry->is_null()) return {};  // find_fault reports the empty field
  if (!entry->is_string()) {
    return fmt::format("{} is a JSON {}; it must be a text", field, entry->type_name());
  }
  text = std::move(entry->get_ref<std::string&>());
  record.erase(entry);
  return {};
}

/// What keeps the record from being used. What it leaves out of what it need not have is no fault.
std::string find_fault_of_record(const Product& product, RequiredFields required) {
  if (required == RequiredFields::kAll) return find_fault(product, ImageName::kRequired);
  if (required == RequiredFields::kIdAndCaption || !product.caption.empty()) {
    return find_fault(product, ImageName::kOptional);
  }
  Product with_caption = product;
  with_caption.caption = "-";
  return find_fault(with_caption, ImageName::kOptional);
}

std::string take_product(json& record, Product& product, RequiredFields required) {
  if (!record.is_object()) {
    return fmt::format("it is a JSON {}; it must be an object with id, image and caption",
                       record.type_name());
  }
  product.id = id_text(record);
  if (const auto id = record.find("id"); id != record.end()) {
    if (product.id.empty() && !id->is_string() && !id->is_null()) {
      return fmt::format("id is a JSON {}; it must be a text or an integer", id->type_name());
    }
    record.erase(id);
  }
  if (std::string fault = take_text(record, "image", product.image); !fault.empty()) return fault;
  if (std::string fault = take_text(record, "caption", product.caption); !fault.empty()) {
    return fault;
  }
  record.erase("image");  // null ones are still there
  record.erase("caption");
  product.attributes = std::move(record);
  const std::string fault = find_fault_of_record(product, required);
  return fault.empty() ? find_new_id_fault(product.id) : fault;
}

}  // namespace

std::string id_text(const json& record) {
  if (!record.is_object()) return {};
  const auto id = record.find("id");
  if (id == record.end()) return {};
  if (id->is_string()) return id->get<std::string>();
  if (id->is_number_unsigned()) return std::to_string(id->get<std::uint64_t>());
  if (id->is_number_integer()) return std::to_string(id->get<std::int64_t>());
  return {};
}

bool RecordSink::requires_field(std::string_view field) const {
  switch (required_) {
    case RequiredFields::kAll:
      return field == "id" || field == "image" || field == "caption";
    case RequiredFields::kIdAndCaption:
      return field == "id" || field == "caption";
    case RequiredFields::kId:
      return field == "id";
  }
  return true;
}

void RecordSink::accept(std::uint64_t record, const std::string& place, json&& value) {
  Product product;
  std::string fault = take_product(value, product, required_);
  if (fault.empty() && !ids_.insert(product.id).second) {
    fault = "its id was used by an earlier record; give every product its own";
  }
  if (!fault.empty()) return reject(record, place, product.id, fault);
  ++count_;
  on_product_(std::move(product));
}

void RecordSink::reject(std::uint64_t record, const std::string& place, const std::string& id,
                        const std::string& fault) {
  ++count_;
  const std::string shown = printable(id);
  const std::string named = shown.empty() ? "" : fmt::format(" with id \"{}\"", shown);
  on_bad_({record, shown, fmt::format("{}, {}{}: {}", file_, place, named, fault)});
}

}  // namespace vitrine::storage
