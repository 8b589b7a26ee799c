// Trains the default checkpoint on Fashion-MNIST's training photos, coloured by the garment
// painter.
#include <malloc.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "encoder/clip_tokenizer.h"
#include "tools/adam_w.h"
#include "tools/bpe_learner.h"
#include "tools/checkpoint_writer.h"
#include "tools/fashion_mnist.h"
#include "tools/training_data.h"
#include "tools/training_step.h"

namespace vitrine::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::filesystem::path data = kFashionMnistFolder;
  std::filesystem::path out = "models/fashion-mini";
  std::filesystem::path state;
  int epochs = 45;
  double minutes = 85;
  int batch = 192;
  int captions = 160;
  int image_size = 56, patch_size = 14;
  int width = 192, layers = 4, text_width = 128, text_layers = 2, projection = 96;
  double learning_rate = 1e-3, weight_decay = 0.05;
  int warmup = 300;
  int holdout = 2000;
  int threads = 2;
  std::uint64_t seed = 1;
  bool bfloat16 = false;
  int steps = 0;  // stop after this many, for measuring
};

encoder::ClipConfig make_config(const Options& options, const BpeVocabulary& vocabulary) {
  encoder::ClipConfig config;
  config.projection_dim = options.projection;
  config.text.tower = {options.text_width, options.text_width * 4, options.text_layers,
                       options.text_width / 32};
  config.text.vocab_size = static_cast<std::int64_t>(vocabulary.ids.size());
  config.text.context_length = kContextLength;
  config.text.eos_token_id = vocabulary.end_id();
  config.vision.tower = {options.width, options.width * 4, options.layers, options.width / 32};
  config.text.tower.activation = encoder::Activation::kGelu;
  config.vision.tower.activation = encoder::Activation::kGelu;
  config.vision.image_size = options.image_size;
  config.vision.patch_size = options.patch_size;
  return config;
}

/// Normal deviates by Box and Muller from our own generator, so that a seed means the same run.
at::Tensor normal(const std::vector<std::int64_t>& shape, double deviation, Random& random) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* value = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const float radius = std::sqrt(-2.0f * std::log(1.0f - random.uniform()));
    value[i] = static_cast<float>(deviation) * radius * std::cos(6.2831853f * random.uniform());
  }
  return tensor;
}

encoder::WeightMap initial_weights(const encoder::ClipConfig& config, std::uint64_t seed) {
  Random random(seed, 7);
  encoder::WeightMap weights;
  for (const auto& [name, shape] : encoder::expected_weights(config)) {
    const bool bias = name.ends_with(".bias"), norm = name.find("norm") != std::string::npos ||
                                                      name.find("layrnorm") != std::string::npos;
    const auto& tower = name.starts_with("text") ? config.text.tower : config.vision.tower;
    at::Tensor tensor;
    if (name == "logit_scale") {
      tensor = at::full({}, 2.6592f);
    } else if (bias) {
      tensor = at::zeros(shape, at::kFloat);
    } else if (norm) {
      tensor = at::ones(shape, at::kFloat);
    } else if (shape.size() == 4) {
      tensor = normal(shape, 1.0 / std::sqrt(double(shape[1] * shape[2] * shape[3])), random);
    } else if (name.find("embedding") != std::string::npos) {
      tensor = normal(shape, 0.02, random);
    } else {  // a matrix [out, in]; those that write into the residual stream start smaller
      double deviation = 1.0 / std::sqrt(double(shape[1]));
      if (name.find("out_proj") != std::string::npos || name.find("fc2") != std::string::npos) {
        deviation /= std::sqrt(2.0 * double(tower.layers));
      }
      tensor = normal(shape, deviation, random);
    }
    weights[name] = tensor.requires_grad_();
  }
  return weights;
}

/// The held-out products, painted once as the demo catalogue paints them.
struct Holdout {
  std::vector<std::uint8_t> rgb;
  std::vector<Attributes> products;
};

Holdout make_holdout(const TrainingPhotos& photos, int image_size) {
  Holdout holdout;
  const std::size_t bytes = std::size_t(image_size) * image_size * 3;
  holdout.rgb.resize(bytes * photos.labels.size());
  Random random(99);
  for (std::size_t i = 0; i < photos.labels.size(); ++i) {
    const GarmentLook look = draw_look(random, 0.3f);
    paint(photos.garments[i], look, image_size, std::span(holdout.rgb).subspan(bytes * i, bytes));
    holdout.products.push_back({photos.labels[i], look.colour, look.pattern});
  }
  return holdout;
}

double weighted_f1(const std::vector<int>& truth, const std::vector<int>& guess, int classes) {
  double sum = 0;
  for (int c = 0; c < classes; ++c) {
    double hit = 0, said = 0, was = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      hit += truth[i] == c && guess[i] == c;
      said += guess[i] == c;
      was += truth[i] == c;
    }
    if (hit > 0) sum += was * 2 * hit / (said + was);
  }
  return sum / double(truth.size());
}

std::string evaluate(const encoder::ClipModel& model, PromptEncoder& encode, Holdout& holdout,
                     int image_size) {
  const c10::AutoGradMode no_gradients(false);
  const at::Tensor pixels = pixel_values(holdout.rgb, holdout.products.size(), image_size);
  std::vector<at::Tensor> parts;
  for (std::int64_t at = 0; at < pixels.size(0); at += 250) {
    parts.push_back(model.encode_images(pixels.slice(0, at, std::min(at + 250, pixels.size(0)))));
  }
  const at::Tensor images = unit(at::cat(parts));
  const auto guesses = [&](std::span<const Attribute> labels, const std::string& noun) {
    std::vector<std::string> prompts;
    for (const Attribute& label : labels) prompts.push_back("a photo of a " + label.name + noun);
    const at::Tensor best =
        at::matmul(images, unit(model.encode_texts(encode(prompts))).t()).argmax(1);
    std::vector<int> result(images.size(0));
    for (std::size_t i = 0; i < result.size(); ++i) {
      result[i] = static_cast<int>(best.data_ptr<std::int64_t>()[i]);
    }
    return result;
  };
  const auto truth = [&](int Attributes::*member) {
    std::vector<int> result;
    for (const Attributes& product : holdout.products) result.push_back(product.*member);
    return result;
  };
  const auto accuracy = [](const std::vector<int>& a, const std::vector<int>& b) {
    double hits = 0;
    for (std::size_t i = 0; i < a.size(); ++i) hits += a[i] == b[i];
    return hits / double(a.size());
  };
  const double f1 = weighted_f1(truth(&Attributes::garment), guesses(garments(), ""), 10);
  const double colour = accuracy(truth(&Attributes::colour), guesses(colours(), " garment"));
  const double pattern = accuracy(truth(&Attributes::pattern), guesses(patterns(), " garment"));

  double precision = 0;
  int queries = 0;
  for (int c = 0; c < 12; ++c) {
    for (int p = 0; p < 4; ++p) {
      for (int g = 0; g < 10; ++g) {
        const Attributes wanted{g, c, p};
        const auto count = std::count_if(holdout.products.begin(), holdout.products.end(),
                                         [&](const Attributes& x) { return matches(wanted, x); });
        if (count < 10) continue;
        const std::vector<std::string> prompt{"a " + colours()[c].name + " " + patterns()[p].name +
                                              " " + garments()[g].name};
        const at::Tensor top = std::get<1>(
            at::matmul(images, unit(model.encode_texts(encode(prompt))).t()).squeeze(1).topk(10));
        for (int i = 0; i < 10; ++i) {
          precision += matches(wanted, holdout.products[top.data_ptr<std::int64_t>()[i]]) ? 0.1 : 0;
        }
        ++queries;
      }
    }
  }
  return fmt::format("garment F1 {:.4f}  colour {:.4f}  pattern {:.4f}  p@10 {:.4f} ({} queries)",
                     f1, colour, pattern, queries ? precision / queries : 0.0, queries);
}

constexpr char kStateMagic[8] = {'V', 'T', 'R', 'S', 'T', 'A', 'T', '1'};

/// How far a run is, besides what the optimiser holds.
struct Progress {
  std::int64_t step = 0;
  double seconds = 0;
};

void save_state(const std::filesystem::path& path, const Progress& progress, const AdamW& adam) {
  std::string bytes(kStateMagic, sizeof kStateMagic);
  bytes.append(reinterpret_cast<const char*>(&progress), sizeof progress);
  for (const at::Tensor& tensor : adam.state()) {
    bytes.append(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  }
  write_file_atomically(path, bytes);
}

Progress load_state(const std::filesystem::path& path, AdamW& adam) {
  const std::string bytes = read_file(path, 1ull << 30);
  std::vector<at::Tensor> tensors = adam.state();
  std::size_t wanted = sizeof kStateMagic + sizeof(Progress);
  for (const at::Tensor& tensor : tensors) wanted += tensor.nbytes();
  if (bytes.size() != wanted || std::memcmp(bytes.data(), kStateMagic, sizeof kStateMagic) != 0) {
    throw invalid_argument(path.string() + " is not the state of a run of this model");
  }
  Progress progress;
  const char* at = bytes.data() + sizeof kStateMagic;
  std::memcpy(&progress, at, sizeof progress);
  at += sizeof progress;
  for (at::Tensor& tensor : tensors) {
    std::memcpy(tensor.data_ptr(), at, tensor.nbytes());
    at += tensor.nbytes();
  }
  adam.set_steps(progress.step);
  return progress;
}

void train(const Options& options) {
  at::set_num_threads(1);
  // Tensors of a step keep their pages from one step to the next.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  std::vector<GarmentPhoto> photos = load_fashion_mnist(options.data, "train");
  const std::size_t kept = photos.size() - options.holdout;
  const TrainingPhotos training = prepare_photos(std::span(photos).first(kept));
  Holdout holdout =
      make_holdout(prepare_photos(std::span(photos).subspan(kept)), options.image_size);

  const BpeVocabulary vocabulary = learn_bpe(all_prompt_words(), 700);
  std::filesystem::create_directories(options.out);
  vocabulary.save(options.out);
  const encoder::ClipTokenizer tokenizer = encoder::ClipTokenizer::load(options.out);
  const encoder::ClipConfig config = make_config(options, vocabulary);
  encoder::WeightMap weights = initial_weights(config, options.seed);
  std::vector<at::Tensor> parameters;
  std::int64_t count = 0;
  for (const auto& [name, shape] : encoder::expected_weights(config)) {
    parameters.push_back(weights.at(name));
    count += weights.at(name).numel();
  }
  AdamW adam(parameters, options.weight_decay);
  const std::filesystem::path state =
      options.state.empty() ? options.out / "training.state" : options.state;
  Progress progress;
  if (std::filesystem::exists(state)) progress = load_state(state, adam);
  const encoder::ClipModel model(config, weights);
  PromptEncoder encode(tokenizer);

  const BatchOptions batches{options.batch / options.threads, options.captions / options.threads,
                             options.image_size, 0.5f};
  const std::int64_t steps_an_epoch = std::int64_t(training.labels.size()) / options.batch;
  const std::int64_t total = steps_an_epoch * options.epochs;
  fmt::print("{} parameters, vocabulary {}, {} steps an epoch, starting at step {}\n", count,
             vocabulary.ids.size(), steps_an_epoch, progress.step);
  const StepOptions step_options{options.image_size, options.bfloat16};
  std::vector<Worker> workers(options.threads, Worker(tokenizer));
  BatchStream stream(
      [&](std::int64_t step) {
        std::vector<TrainingBatch> parts;
        for (int i = 0; i < options.threads; ++i) {
          parts.push_back(make_batch(training, batches, options.seed, step * options.threads + i));
        }
        return parts;
      },
      progress.step);
  const Clock::time_point start = Clock::now();
  const double seconds_before = progress.seconds;
  double loss_sum = 0;
  int loss_count = 0;
  for (bool done = false; !done;) {
    // Whichever limit is nearer decides how far the schedule is.
    const double part =
        std::max(double(progress.step) / double(total), progress.seconds / (60 * options.minutes));
    const double rise = std::min(1.0, double(progress.step + 1) / options.warmup);
    const double rate = options.learning_rate * rise *
                        (0.01 + 0.99 * 0.5 * (1 + std::cos(M_PI * std::min(1.0, part))));
    const double loss = step_gradients(config, weights, stream.next(), workers, step_options);
    adam.step(rate, 1.0);
    loss_sum += loss;
    ++loss_count;
    ++progress.step;
    progress.seconds = seconds_before + std::chrono::duration<double>(Clock::now() - start).count();
    done = progress.step >= total || progress.seconds >= 60 * options.minutes ||
           (options.steps > 0 && loss_count >= options.steps);
    const bool epoch_ends = progress.step % steps_an_epoch == 0;
    if (progress.step % 50 == 0 || done) {
      fmt::print("step {}  {:.0f} s  rate {:.2e}  loss {:.4f}  scale {:.2f}  {:.0f} images/s\n",
                 progress.step, progress.seconds, rate, loss_sum / loss_count,
                 std::exp(model.logit_scale().item<double>()),
                 double(loss_count) * options.batch / (progress.seconds - seconds_before));
      std::fflush(stdout);
    }
    if (epoch_ends || done) {
      fmt::print("epoch {}: {}\n", double(progress.step) / double(steps_an_epoch),
                 evaluate(model, encode, holdout, options.image_size));
      std::fflush(stdout);
      write_checkpoint(options.out, config, weights, vocabulary);
      save_state(state, progress, adam);
    }
  }
}

}  // namespace
}  // namespace vitrine::tools

int main(int argc, char** argv) {
  vitrine::tools::Options options;
  CLI::App app(
      "Trains Vitrine's default checkpoint; run it again to resume a run that was stopped");
  app.add_option("--data", options.data, "Folder with Fashion-MNIST's *.gz files")
      ->capture_default_str();
  app.add_option("--out", options.out, "Checkpoint folder to write")->capture_default_str();
  app.add_option("--state", options.state, "State file (default: <out>/training.state)");
  app.add_option("--epochs", options.epochs, "Passes over the photos")->capture_default_str();
  app.add_option("--minutes", options.minutes, "Time limit; the learning rate falls in time for it")
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Images a step")->capture_default_str();
  app.add_option("--captions", options.captions, "Texts of several attributes a step")
      ->capture_default_str();
  app.add_option("--image-size", options.image_size, "Pixels")->capture_default_str();
  app.add_option("--patch-size", options.patch_size, "Pixels")->capture_default_str();
  app.add_option("--width", options.width, "Of the vision tower")->capture_default_str();
  app.add_option("--layers", options.layers, "Of the vision tower")->capture_default_str();
  app.add_option("--text-width", options.text_width, "Of the text tower")->capture_default_str();
  app.add_option("--text-layers", options.text_layers, "Of the text tower")->capture_default_str();
  app.add_option("--projection", options.projection, "Embedding width")->capture_default_str();
  app.add_option("--learning-rate", options.learning_rate, "At its peak")->capture_default_str();
  app.add_option("--weight-decay", options.weight_decay, "Of matrices")->capture_default_str();
  app.add_option("--warmup", options.warmup, "Steps")->capture_default_str();
  app.add_option("--holdout", options.holdout, "Last photos kept from training, to validate on")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Compute threads")->capture_default_str();
  app.add_option("--seed", options.seed, "Of everything random")->capture_default_str();
  app.add_option("--steps", options.steps, "Stop after this many steps (0: no)");
  app.add_flag("--bfloat16", options.bfloat16, "Multiply matrices in bfloat16");
  CLI11_PARSE(app, argc, argv);
  try {
    vitrine::tools::train(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "train_checkpoint: {}\n", error.what());
    return 1;
  }
  return 0;
}
