#include "apps/cli/image_forward.hpp"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "apps/cli/classifier.hpp"
#include "apps/cli/op_listing.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

constexpr const char* kPixels = "pixel_values";

tensor::HostTensor read_pixel_values(const std::string& path) {
  const checkpoint::TensorView view = checkpoint::SafeTensors::open(path).at(kPixels);
  const bool floats = view.dtype == checkpoint::StorageType::F32 || view.dtype == checkpoint::StorageType::F16 ||
                      view.dtype == checkpoint::StorageType::BF16;
  base::require(floats && view.shape.size() == 4 && view.num_elements() > 0,
                "[forward] pixel_values must be F32, F16 or BF16 of shape [N, C, H, W]; {} has {} {}", path,
                checkpoint::to_string(view.dtype), checkpoint::shape_to_string(view.shape));
  return {Shape(view.shape), checkpoint::to_float(view)};
}

void write_output(const std::string& path, const tensor::HostTensor& logits, const nn::VisionFeatures& features) {
  std::vector<checkpoint::OutputTensor> tensors;
  const auto add = [&](const std::string& name, const tensor::HostTensor& tensor) {
    const auto extents = tensor.shape.extents();
    tensors.push_back(
        {.name = name, .shape = {extents.begin(), extents.end()}, .data = std::as_bytes(std::span(tensor.data))});
  };
  add("logits", logits);
  for (const auto& [name, tensor] : features) {
    if (name != kPixels) add(name, tensor);
  }
  checkpoint::write_safetensors(path, tensors);
}

} // namespace

bool holds_pixel_values(const std::string& path) {
  return checkpoint::SafeTensors::open(path).contains(kPixels);
}

int forward_images(const ImageForwardOptions& options, const JsonOutput& json) {
  const tensor::HostTensor pixels = read_pixel_values(options.input);
  const auto checkpoint = models::open_vision_checkpoint(options.checkpoint);
  std::optional<ClassifierOnBoard> opened;
  std::unique_ptr<nn::ImageClassifier> reference;
  std::optional<OpListing> listing;
  if (options.reference) {
    reference = reference::open_image_classifier(checkpoint, options.model.threads);
  } else {
    opened.emplace(open_classifier(options.model, checkpoint, pixels.shape[0]));
    if (json.wanted()) listing.emplace(*opened->mesh);
  }
  nn::ImageClassifier& model = opened ? static_cast<nn::ImageClassifier&>(*opened->model) : *reference;
  nn::VisionFeatures features;
  const auto start = std::chrono::steady_clock::now();
  const tensor::HostTensor logits = model.forward(pixels, options.features ? &features : nullptr);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  write_output(options.output, logits, features);

  nlohmann::json report{{"checkpoint", options.checkpoint},
                        {"mode", options.reference ? "reference" : "device"},
                        {"images", pixels.shape[0]},
                        {"output", options.output},
                        {"host_time_ns", static_cast<std::int64_t>(seconds * 1e9)}};
  if (!options.reference) {
    report["board"] = options.model.board;
    report["precision"] = options.model.precision;
    report["numerics"] = options.model.numerics;
    report["dp"] = opened->model->copies();
    report["tp"] = opened->model->tensor_parallel();
  }
  if (listing) {
    listing->finish_step();
    report["ops"] = listing->take();
  }
  json.write(report);
  write_note(fmt::format("{} images in {:.3f} s (measured on this host); {} written", pixels.shape[0], seconds,
                         options.output));
  return 0;
}

} // namespace tessera::cli
