#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/settings.h"
#include "http/endpoints/json_views.h"

namespace vitrine::cli {
namespace {

struct Options {
  explicit Options(CLI::App& subcommand) : settings(subcommand) {}
  Settings settings;
  std::string image, prompt_template = std::string(engine::kDefaultPromptTemplate);
  std::vector<std::string> labels;
  bool json = false;
};

}  // namespace

std::function<int()> add_classify(CLI::App& subcommand) {
  auto options = std::make_shared<Options>(subcommand);
  subcommand.add_option("--image", options->image, "Image file")->required()->type_name("FILE");
  one_value_each(
      subcommand.add_option("--labels", options->labels, "Labels to choose from, comma separated"))
      ->required()
      ->delimiter(',')
      ->type_name("A,B,C");
  subcommand
      .add_option("--template", options->prompt_template,
                  "Sentence a label is put into, in the place of {}")
      ->type_name("\"" + options->prompt_template + "\"");
  subcommand.add_flag("--json", options->json, "Print JSON");
  subcommand.footer("Example: vitrine classify --image photo.jpg --labels shirt,dress,sneaker");
  return [options] {
    const config::Config config = options->settings.load();
    set_up_quiet_log(config.log);
    engine::EngineOptions engine_settings = engine_options(config);
    engine_settings.data_dir.clear();  // no catalogue is needed, and none is locked
    engine::ClassifyRequest request;
    request.image_bytes = read_file(options->image, engine_settings.image_limits.max_bytes);
    request.labels = options->labels;
    request.prompt_template = options->prompt_template;
    check_usage([&] {
      engine::validate_labels(request.labels);
      engine::PromptTemplate{request.prompt_template};
    });

    const engine::Engine engine(engine_settings);
    const engine::Classification answer = engine.classify(request);
    for (const engine::LabelScore& score : answer.labels) {
      if (score.prompt.truncated) {
        fmt::print(stderr, "vitrine: the prompt of the label \"{}\" was cut to {} tokens\n",
                   printable(score.label), score.prompt.tokens);
      }
    }
    if (options->json) {
      fmt::print("{}\n", http::classification_json(answer).dump(2));
      return 0;
    }
    for (const engine::LabelScore& score : answer.labels) {
      fmt::print("{:6.2f} %  {}\n", 100 * score.probability, printable(score.label));
    }
    return 0;
  };
}

}  // namespace vitrine::cli
