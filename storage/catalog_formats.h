#pragma once

#include "storage/byte_reader.h"
#include "storage/record_sink.h"

/// One function a format; catalog_reader.cpp lists them. Each sends every record to the sink, in
/// file order, and throws InvalidArgument when the file as a whole cannot be read on.
namespace vitrine::storage {

void read_json_array(ByteReader& reader, RecordSink& sink);
void read_json_lines(ByteReader& reader, RecordSink& sink);
void read_csv(ByteReader& reader, RecordSink& sink);

}  // namespace vitrine::storage
