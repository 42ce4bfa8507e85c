#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/tensor/tensor.hpp"

namespace tessera::nn {

struct WeightCacheOptions {
  std::filesystem::path folder;                   ///< of the cache's files; empty: no cache
  std::string variant;                            ///< what tells conversions of one checkpoint apart: precision, layers
  std::int64_t smallest = std::int64_t{64} << 20; ///< bytes of weights below which nothing is kept
  /// Told in a line why a file was not used or not written. Called from the writer's thread too.
  std::function<void(const std::string&)> note;
};

/// Converted weights on disk: one file for a checkpoint, board and variant, an image of the device memory that the
/// weights take, mapped there on the next start. docs/weight-cache.md describes file and checks. Nothing that happens
/// to the file is an error: the weights are converted then, and the file is written anew.
class WeightCache {
 public:
  WeightCache(const checkpoint::Checkpoint& checkpoint, runtime::MeshDevice& device, WeightCacheOptions options);
  /// Waits until the file is written; gives the writing up when an exception unwinds the stack.
  ~WeightCache();
  WeightCache(const WeightCache&) = delete;
  WeightCache& operator=(const WeightCache&) = delete;

  /// The next weight of the model. `convert` queues its conversion; it is called now unless the file may hold it.
  void add(const tensor::Tensor& weight, std::function<void()> convert);
  /// All weights are added: maps them, or waits for their conversion and begins to write the file in the background.
  void finish();

  /// Whether finish() mapped the weights.
  bool mapped() const { return mapped_; }
  /// Waits until the file is written, if one is.
  void wait();
  const std::filesystem::path& path() const { return path_; }

 private:
  /// Bytes of the device's memory on each chip, from its start.
  struct Image {
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };

  void open_file();
  bool holds(const tensor::Tensor& weight) const;
  void convert_waiting();
  bool map_image();
  bool verify(const Image& image) const;
  bool image_of_weights(Image& image) const;
  nlohmann::json index_of(const Image& image) const;
  void write_file(const Image& image);
  void note(const std::string& text) const;

  runtime::MeshDevice& device_;
  WeightCacheOptions options_;
  std::filesystem::path path_;
  nlohmann::json key_;   ///< what the file must belong to
  nlohmann::json index_; ///< of the file that was found; null when there is none
  std::int64_t data_offset_ = 0;
  int file_ = -1;
  bool mapped_ = false;
  std::vector<tensor::Tensor> weights_;
  std::vector<std::function<void()>> waiting_; ///< conversions put off while the file seems to hold the weights
  std::atomic<bool> give_up_{false};
  std::thread writer_;
};

/// Two sums over 32-bit words, one of them over the other's running value (J. Fletcher, "An arithmetic checksum for
/// serial transmissions"), in 16 lanes: every change of one word changes it, and most others do. As fast as memory.
std::uint64_t checksum(std::span<const std::byte> bytes);

} // namespace tessera::nn
