#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"

namespace vitrine::cli {

using Arguments = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

/// The real program, run in a folder of its own. Killed on destruction when it still runs.
class Program {
 public:
  /// Starts `vitrine <arguments>` with these variables added to the environment.
  Program(const std::filesystem::path& folder, const Arguments& arguments,
          const Variables& variables = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void send(int signal) const;
  /// The next line of stdout without its newline; empty at the end.
  std::string read_line();
  /// Waits for the end. The exit code, or -signal when a signal ended it.
  int wait();

  /// After wait(): what read_line() left of stdout, and all of stderr.
  std::string out;
  std::string err;

 private:
  TemporaryDirectory scratch_;
  pid_t process_ = -1;
  int stdout_ = -1;
};

struct Outcome {
  int exit_code = 0;
  std::string out, err;
};

/// Runs the program to its end.
Outcome run(const std::filesystem::path& folder, const Arguments& arguments,
            const Variables& variables = {});

/// A connection to 127.0.0.1, closed on destruction.
class HttpConnection {
 public:
  explicit HttpConnection(int port);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  bool connected() const { return connected_; }
  void send(const std::string& bytes);
  /// What arrives up to and including the mark; with an empty mark, until the server closes.
  std::string receive_until(const std::string& mark);

 private:
  int socket_ = -1;
  bool connected_ = false;
};

/// A request to 127.0.0.1; empty when nobody listens; else the whole answer, header included.
std::string http_request(int port, const std::string& method, const std::string& path,
                         const std::string& body = "");

/// A 24-bit BMP file of one colour with a square of another in it.
std::string bitmap(int size, std::uint32_t rgb, std::uint32_t square_rgb);

}  // namespace vitrine::cli
