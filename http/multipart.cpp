#include "http/multipart.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

namespace vitrine::http {
namespace {

constexpr std::size_t kMaxPartHeaderBytes = 8 * 1024;
constexpr std::size_t kMaxBoundaryBytes = 70;  // RFC 2046, section 5.1.1

Error malformed(const std::string& reason) {
  return invalid_argument("the multipart/form-data body is malformed: " + reason);
}

std::string field_of(const FormPart& part) {
  return fmt::format("the form field \"{}\"", printable(part.name));
}

Error misplaced_file(const FormPart& part) {
  return invalid_argument(field_of(part) +
                          " is a file; a file is taken in \"image\", and of type application/json "
                          "in fields that hold JSON");
}

void read_part_header(std::string_view line, FormPart& part, bool& has_disposition) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) {
    throw malformed("the part's header line \"" + printable(line) + "\" has no colon");
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (equal_ignoring_case(name, "content-disposition")) {
    if (has_disposition || media_type(value) != "form-data") {
      throw malformed("a part must have one Content-Disposition: form-data; name=\"...\"");
    }
    has_disposition = true;
    const std::optional<std::string> field = header_parameter(value, "name");
    if (!field || field->empty()) throw malformed("a part has no name");
    part.name = *field;
    part.file_name = header_parameter(value, "filename");
  } else if (equal_ignoring_case(name, "content-type")) {
    part.content_type = value;
  } else if (equal_ignoring_case(name, "content-transfer-encoding")) {
    const std::string encoding = lower_case(value);
    if (encoding != "binary" && encoding != "8bit" && encoding != "7bit") {
      throw malformed("Content-Transfer-Encoding is not supported; send the bytes as they are");
    }
  }
}

}  // namespace

std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body) {
  const std::optional<std::string> boundary = header_parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundaryBytes) {
    throw invalid_argument(
        fmt::format("Content-Type multipart/form-data needs a boundary of 1 to {} characters; let "
                    "the client set it (curl -F does)",
                    kMaxBoundaryBytes));
  }
  const std::string delimiter = "\r\n--" + *boundary;

  // The first delimiter may stand at the very beginning, without its line break.
  std::size_t position;
  if (body.starts_with(std::string_view(delimiter).substr(2))) {
    position = delimiter.size() - 2;
  } else {
    position = body.find(delimiter);
    if (position == std::string_view::npos) {
      throw malformed(fmt::format("the boundary \"{}\" does not appear", printable(*boundary)));
    }
    position += delimiter.size();
  }

  std::vector<FormPart> parts;
  while (true) {
    if (body.substr(position).starts_with("--")) return parts;
    while (position < body.size() && (body[position] == ' ' || body[position] == '\t')) ++position;
    if (!body.substr(position).starts_with("\r\n")) {
      throw malformed(fmt::format("no line break after the boundary at byte {}", position));
    }
    position += 2;
    if (parts.size() == kMaxFormParts) {
      throw malformed(fmt::format("it has more than {} parts", kMaxFormParts));
    }

    FormPart part;
    bool has_disposition = false;
    const std::size_t header_begin = position;
    while (true) {
      const std::size_t line_end = body.find("\r\n", position);
      if (line_end == std::string_view::npos || line_end - header_begin > kMaxPartHeaderBytes) {
        throw malformed("a part's header does not end");
      }
      const std::string_view line = body.substr(position, line_end - position);
      position = line_end + 2;
      if (line.empty()) break;
      read_part_header(line, part, has_disposition);
    }
    if (!has_disposition) throw malformed("a part has no Content-Disposition");
    if (std::any_of(parts.begin(), parts.end(),
                    [&](const FormPart& other) { return other.name == part.name; })) {
      throw malformed(fmt::format("the field \"{}\" stands in it twice", printable(part.name)));
    }

    // An empty part's delimiter shares its line break with the end of the header.
    const std::size_t end = body.find(delimiter, position - 2);
    if (end == std::string_view::npos) {
      throw malformed("the last boundary is missing; the body may have been cut short");
    }
    part.content = end < position ? std::string_view{} : body.substr(position, end - position);
    position = end + delimiter.size();
    parts.push_back(std::move(part));
  }
}

std::string image_file(const FormPart& part) {
  if (part.content.empty()) {
    throw invalid_argument("the form field \"image\" is empty; attach an image file");
  }
  return std::string(part.content);
}

std::string form_text(const FormPart& part) {
  if (part.file_name) throw misplaced_file(part);
  if (const auto offset = find_invalid_utf8(part.content)) {
    throw invalid_argument(
        fmt::format("{} is not valid UTF-8 at byte {}", field_of(part), *offset));
  }
  return std::string(part.content);
}

nlohmann::json form_json(const FormPart& part) {
  if (part.file_name && media_type(part.content_type) != "application/json") {
    throw misplaced_file(part);
  }
  return vitrine::parse_json(part.content, field_of(part));
}

}  // namespace vitrine::http
