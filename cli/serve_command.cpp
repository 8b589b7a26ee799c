#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"

namespace vitrine::cli {

std::function<int()> add_serve(CLI::App& subcommand) {
  auto settings = std::make_shared<Settings>(subcommand);
  settings->add_flag("--address", "server.address", "IP address to listen on");
  settings->add_flag("--port", "server.port", "TCP port; 0: any free one");
  settings->add_flag("--request-threads", "server.request_threads", "Requests in hand at once");
  settings->add_flag("--drain-timeout", "server.drain_timeout_sec",
                     "Seconds running requests have to finish after SIGTERM");
  settings->add_flag("--log-level", "log.level", "debug, info, warn or error");
  subcommand.footer(
      "SIGTERM or SIGINT stops it: no new connections, running requests are answered; a second\n"
      "signal ends it at once.\n"
      "Example: vitrine serve --port 8080 ; then open http://127.0.0.1:8080/");
  return [settings] {
    const config::Config config = settings->load();
    set_up_log(config.log);
    const http::ServerOptions options = server_options(config);
    options.validate();
    engine::EngineOptions engine_settings = engine_options(config);
    engine_settings.merge_in_background = true;
    engine::Engine engine(engine_settings);
    http::Server server(engine, options);
    server.stop_on_signal(SIGTERM);
    server.stop_on_signal(SIGINT);
    const bool ipv6 = options.address.find(':') != std::string::npos;
    fmt::print("listening on http://{}{}{}:{}/\n", ipv6 ? "[" : "", options.address,
               ipv6 ? "]" : "", server.port());
    std::fflush(stdout);
    server.run();
    fmt::print("stopped\n");
    return 0;
  };
}

}  // namespace vitrine::cli
