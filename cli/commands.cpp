#include "cli/commands.h"

#include <array>

namespace vitrine::cli {

CLI::Option* one_value_each(CLI::Option* option) {
  return option->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

std::span<const Command> commands() {
  static constexpr std::array kCommands{
      Command{"index", "Encode a catalogue and build its index", add_index},
      Command{"upsert", "Add products to a catalogue, or change them, without a reindex",
              add_upsert},
      Command{"delete", "Delete products from a catalogue", add_delete},
      Command{"rollback", "Undo a reindex: make an older generation current again", add_rollback},
      Command{"export", "Write a catalogue's vectors and products to files", add_export},
      Command{"serve", "Answer queries over HTTP", add_serve},
      Command{"search", "Find products by a text, an image or a product", add_search},
      Command{"classify", "Tell which of some labels fits an image best (zero-shot)", add_classify},
      Command{"encode", "Write the embeddings of texts or images to a .npy file", add_encode},
      Command{"evaluate", "Measure the checkpoint on a labelled catalogue", add_evaluate},
      Command{"experiment", "Compare kinds of index and their parameters on a catalogue",
              add_experiment},
      Command{"tune", "Choose a catalogue's index for a recall, memory and latency", add_tune},
      Command{"bench", "Measure how fast this machine encodes", add_bench},
      Command{"info", "Show the checkpoint, the catalogues and the configuration", add_info},
  };
  return kCommands;
}

}  // namespace vitrine::cli
