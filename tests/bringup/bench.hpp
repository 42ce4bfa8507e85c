#pragma once

#include <filesystem>

#include "tessera/bringup/bringup.hpp"
#include "tessera/bringup/live_reference.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/bringup/faulty_model.hpp"
#include "tests/generate/tiny_model.hpp"

namespace tessera::testing {

using test::TemporaryFolder;

/// A device with bfloat16 weights, an fp32 reference of the same weights, and something to run on.
struct Bench {
  explicit Bench(Fault fault = {}, const std::filesystem::path& cache = {})
      : faulty(device, std::move(fault)),
        reference(
            [this] {
              ++opened;
              return std::make_unique<TinyModel>();
            },
            bringup::ResultCache(cache, "tiny"), material.texts, {.description = "tiny, fp32"}) {}

  bringup::Inputs inputs() {
    return {.device = faulty, .reference = reference, .material = material, .identity = "tiny"};
  }
  bringup::Report run(const bringup::Options& options = {}) {
    bringup::Progress silent;
    return bringup::run(inputs(), options, silent);
  }

  static std::vector<bringup::Ids> texts() {
    std::vector<bringup::Ids> sequences(3);
    for (std::int32_t i = 0; i < 100; ++i) {
      sequences[static_cast<std::size_t>(i) / 40].push_back((i * i + 7 * i + 3) % 32);
    }
    return sequences;
  }

  int opened = 0; // times that the reference was opened
  bringup::Material material{texts(), {{1, 2, 3, 4, 5, 6}, {9, 8, 7}, {30, 11, 5, 2}}};
  TinyModel device{{.bfloat16_weights = true}};
  FaultyModel faulty;
  bringup::LiveReference reference;
};

} // namespace tessera::testing
