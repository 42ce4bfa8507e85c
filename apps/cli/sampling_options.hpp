#pragma once

#include <CLI/CLI.hpp>

#include "tessera/generate/sampling.hpp"

namespace tessera::cli {

/// --temperature, --top-p, --top-k and --seed.
void add_sampling_options(CLI::App& app, generate::SamplingOptions& sampling);

} // namespace tessera::cli
