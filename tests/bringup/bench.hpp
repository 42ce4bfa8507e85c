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
      : right(fault.path == Fault::Path::NONE),
        faulty(device, std::move(fault)),
        reference(
            [this] {
              ++opened;
              return std::make_unique<TinyModel>();
            },
            bringup::ResultCache(cache, "tiny"), material.texts, {.description = "tiny, fp32"}) {}

  bringup::Inputs inputs() {
    bringup::Inputs all{.device = faulty, .reference = reference, .material = material, .identity = "tiny"};
    if (right) all.parallel_forms = {form("dp 2", false, copies_fault), form("tp 2", true, shared_fault)};
    return all;
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

  /// The device's model in another form.
  bringup::ParallelForm form(std::string name, bool shares_layers, const Fault& fault) {
    return {std::move(name), shares_layers, [this, &fault] { return std::make_unique<FaultyModel>(device, fault); }};
  }

  bool right;     // the device has no fault; other forms differ from one that has
  int opened = 0; // times that the reference was opened
  Fault copies_fault;
  Fault shared_fault;
  bringup::Material material{texts(), {{1, 2, 3, 4, 5, 6}, {9, 8, 7}, {30, 11, 5, 2}}};
  TinyModel device{{.bfloat16_weights = true}};
  FaultyModel faulty;
  bringup::LiveReference reference;
};

} // namespace tessera::testing
