#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"

namespace vitrine::cli {
namespace {

/// Jobs that run when the server has stopped are cancelled, but not while they save an index or
/// train its lists.
constexpr std::chrono::seconds kJobTime{2};

/// Without waiting for what computes. As safe as a crash: what was answered is on disk, and the
/// next start sweeps what a job leaves behind.
[[noreturn]] void end_at_once() {
  spdlog::default_logger()->flush();
  std::_Exit(0);
}

/// Whatever the process still does.
void end_in_time_or_at_a_signal() {
  for (const int number : {SIGTERM, SIGINT}) {
    std::signal(number, [](int) { std::_Exit(0); });
  }
  std::thread([] {
    std::this_thread::sleep_for(kJobTime);
    spdlog::warn("jobs did not stop in {} s and are abandoned", kJobTime.count());
    end_at_once();
  }).detach();
}

}  // namespace

std::function<int()> add_serve(CLI::App& subcommand) {
  auto settings = std::make_shared<Settings>(subcommand);
  settings->add_flag("--address", "server.address", "IP address to listen on");
  settings->add_flag("--port", "server.port", "TCP port; 0: any free one");
  settings->add_flag("--cors-origins", "server.cors_origins",
                     "Origins whose pages may search and read, with commas between");
  settings->add_flag("--request-threads", "server.request_threads", "Requests in hand at once");
  settings->add_flag("--drain-timeout", "server.drain_timeout_sec",
                     "Seconds running requests have to finish after SIGTERM");
  settings->add_flag("--log-level", "log.level", "debug, info, warn or error");
  subcommand.footer(
      "SIGTERM or SIGINT stops it: no new connections, running requests are answered for up to\n"
      "--drain-timeout; then, and at a second signal, it ends without those that are left.\n"
      "Example: vitrine serve --port 8080 ; then open http://127.0.0.1:8080/");
  return [settings] {
    const config::Config config = settings->load();
    set_up_log(config.log);
    const http::ServerOptions options = server_options(config);
    options.validate();
    engine::EngineOptions engine_settings = engine_options(config);
    engine_settings.merge_in_background = true;
    engine::Engine engine(engine_settings);
    {
      http::Server server(engine, options);
      server.stop_on_signal(SIGTERM);
      server.stop_on_signal(SIGINT);
      server.on_overrun(end_at_once);
      const bool ipv6 = options.address.find(':') != std::string::npos;
      fmt::print("listening on http://{}{}{}:{}/\n", ipv6 ? "[" : "", options.address,
                 ipv6 ? "]" : "", server.port());
      std::fflush(stdout);
      server.run();
    }
    fmt::print("stopped\n");
    std::fflush(stdout);
    end_in_time_or_at_a_signal();
    return 0;
  };
}

}  // namespace vitrine::cli
