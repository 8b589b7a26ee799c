#pragma once

#include <string>
#include <vector>

namespace vitrine::cli {

/// The lines of a UTF-8 file, blank ones too, without their ends; a last line may lack its newline,
/// and a byte order mark is passed over. Throws InvalidArgument, naming the line, for what is not
/// UTF-8, and when the file is empty.
std::vector<std::string> read_lines(const std::string& path);

}  // namespace vitrine::cli
