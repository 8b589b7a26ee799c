#include "program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

namespace vitrine::cli {

Program::Program(const std::filesystem::path& folder, const Arguments& arguments,
                 const Variables& variables) {
  const std::string errors = (scratch_.path() / "stderr").string();
  std::vector<const char*> argv{VITRINE_PROGRAM};
  for (const std::string& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe");
  }
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    const int file = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, STDERR_FILENO);
    for (const auto& [name, value] : variables) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    if (::chdir(folder.c_str()) == 0) {
      ::execv(VITRINE_PROGRAM, const_cast<char* const*>(argv.data()));
    }
    ::_exit(127);
  }
  ::close(ends[1]);
  stdout_ = ends[0];
}

Program::~Program() {
  if (process_ > 0) {
    send(SIGKILL);
    wait();
  }
  ::close(stdout_);
}

void Program::send(int signal) const { ::kill(process_, signal); }

std::string Program::read_line() {
  std::string line;
  for (char c = 0; ::read(stdout_, &c, 1) == 1 && c != '\n';) {
    line += c;
  }
  return line;
}

int Program::wait() {
  char buffer[4096];
  for (ssize_t size = 0; (size = ::read(stdout_, buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<std::size_t>(size));
  }
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  err = read_file(scratch_.path() / "stderr", 1 << 24);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Outcome run(const std::filesystem::path& folder, const Arguments& arguments,
            const Variables& variables) {
  Program program(folder, arguments, variables);
  Outcome outcome;
  outcome.exit_code = program.wait();
  outcome.out = program.out;
  outcome.err = program.err;
  return outcome;
}

HttpConnection::HttpConnection(int port)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

HttpConnection::~HttpConnection() { ::close(socket_); }

void HttpConnection::send(const std::string& bytes) {
  ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::string HttpConnection::receive_until(const std::string& mark) {
  std::string bytes;
  for (char c = 0; ::recv(socket_, &c, 1, 0) == 1;) {
    bytes += c;
    if (!mark.empty() && bytes.ends_with(mark)) {
      break;
    }
  }
  return bytes;
}

std::string http_request(int port, const std::string& method, const std::string& path,
                         const std::string& body) {
  HttpConnection connection(port);
  if (!connection.connected()) {
    return "";
  }
  connection.send(method + " " + path +
                  " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  "Content-Type: application/json\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
  return connection.receive_until("");
}

std::string bitmap(int size, std::uint32_t rgb, std::uint32_t square_rgb) {
  const auto little = [](std::uint32_t value) {
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(value >> shift & 0xff);
    }
    return bytes;
  };
  const std::size_t padding = static_cast<std::size_t>((4 - size * 3 % 4) % 4);
  std::string pixels;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const bool inside = x > size / 4 && x < size * 3 / 4 && y > size / 4 && y < size * 3 / 4;
      const std::uint32_t colour = inside ? square_rgb : rgb;
      for (const int shift : {0, 8, 16}) {  // stored as blue, green, red
        pixels += static_cast<char>(colour >> shift & 0xff);
      }
    }
    pixels.append(padding, '\0');
  }
  const auto side = static_cast<std::uint32_t>(size);
  const auto pixel_bytes = static_cast<std::uint32_t>(pixels.size());
  return "BM" + little(54 + pixel_bytes) + little(0) + little(54) + little(40) + little(side) +
         little(side) + little(1 | 24u << 16) + little(0) + little(pixel_bytes) + little(2835) +
         little(2835) + little(0) + little(0) + pixels;
}

}  // namespace vitrine::cli
