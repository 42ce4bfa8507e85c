#include "apps/cli/sampling_options.hpp"

namespace tessera::cli {

void add_sampling_options(CLI::App& app, generate::SamplingOptions& sampling) {
  app.add_option("--temperature", sampling.temperature, "Logits are divided by it; 0: always the best token")
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "Draw from the fewest tokens whose probabilities reach this sum")
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "Draw from the best so many tokens; 0: all")->capture_default_str();
  app.add_option("--seed", sampling.seed, "Seed of the draws")->check(CLI::NonNegativeNumber)->capture_default_str();
}

} // namespace tessera::cli
