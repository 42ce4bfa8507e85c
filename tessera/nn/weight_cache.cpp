#include "tessera/nn/weight_cache.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/nn/cache_file.hpp"

namespace tessera::nn {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Changes with the file's layout and with what a tile's bytes or the order of tiles mean (tile_position).
constexpr const char* kFormat = "tessera weights 1, tiles in pairs of columns";
// Pieces that have a checksum of their own, and that the file is written in.
constexpr std::int64_t kBlock = std::int64_t{2} << 20;

std::string hexadecimal(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}
std::uint64_t checksum_of(const std::string& text) {
  return checksum(std::as_bytes(std::span(text)));
}

/// What a checkpoint is, as far as that can be told without reading it all.
json identity(const checkpoint::Checkpoint& checkpoint) {
  json files = json::array();
  for (const fs::path& file : checkpoint.weight_files()) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) continue;
    files.push_back({fs::absolute(file).lexically_normal().string(), static_cast<std::int64_t>(info.st_size),
                     static_cast<std::int64_t>(info.st_mtim.tv_sec), static_cast<std::int64_t>(info.st_mtim.tv_nsec)});
  }
  std::string headers;
  for (const std::string& name : checkpoint.tensor_names()) {
    const checkpoint::TensorView& view = checkpoint.tensor(name);
    headers +=
        fmt::format("{} {} {}\n", name, checkpoint::to_string(view.dtype), checkpoint::shape_to_string(view.shape));
  }
  return {{"files", files},
          {"headers", hexadecimal(checksum_of(headers))},
          {"config", hexadecimal(checksum_of(checkpoint.config().dump()))}};
}

json describe(const tensor::Tensor& weight) {
  return {to_string(weight.spec()), weight.address()};
}

/// Bytes of a bank that a tensor takes (BankAllocator).
std::int64_t bytes_per_bank(const TensorSpec& spec, const ArchSpec& arch) {
  return div_up(spec.num_pages(), arch.dram_banks) * round_up(spec.page_bytes(), arch.dram_alignment_bytes);
}

std::string file_name(const checkpoint::Checkpoint& checkpoint, const std::string& board, const std::string& variant) {
  const std::string folder = fs::absolute(checkpoint.folder()).lexically_normal().string();
  std::string name = fs::path(folder).filename().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '.'; }, '-');
  return fmt::format("{}-{}.weights", name.substr(0, 64),
                     hexadecimal(checksum_of(fmt::format("{}\n{}\n{}", folder, board, variant))));
}

} // namespace

std::uint64_t checksum(std::span<const std::byte> bytes) {
  constexpr std::size_t kLanes = 16;
  std::array<std::uint32_t, kLanes> sums{};
  std::array<std::uint32_t, kLanes> sums_of_sums{};
  const auto add = [&](const std::byte* p) {
    std::array<std::uint32_t, kLanes> words;
    std::memcpy(words.data(), p, sizeof(words));
    for (std::size_t i = 0; i < kLanes; ++i) {
      sums[i] += words[i];
      sums_of_sums[i] += sums[i];
    }
  };
  constexpr std::size_t kStep = kLanes * sizeof(std::uint32_t);
  const std::size_t whole = bytes.size() / kStep * kStep;
  for (std::size_t i = 0; i < whole; i += kStep) add(bytes.data() + i);
  if (whole < bytes.size()) {
    std::array<std::byte, kStep> last{};
    std::memcpy(last.data(), bytes.data() + whole, bytes.size() - whole);
    add(last.data());
  }
  std::uint64_t result = 0xCBF29CE484222325U ^ bytes.size(); // FNV-1a over the lanes
  for (std::size_t i = 0; i < kLanes; ++i) {
    result = (result ^ sums[i]) * 0x100000001B3U;
    result = (result ^ sums_of_sums[i]) * 0x100000001B3U;
  }
  return result;
}

WeightCache::WeightCache(const checkpoint::Checkpoint& checkpoint, runtime::MeshDevice& device,
                         WeightCacheOptions options)
    : device_(device), options_(std::move(options)) {
  const BoardSpec& board = device.board();
  path_ = options_.folder / file_name(checkpoint, board.name, options_.variant);
  key_ = {{"format", kFormat},
          {"checkpoint", identity(checkpoint)},
          {"variant", options_.variant},
          {"board", {board.name, board.arch.dram_banks, board.arch.dram_alignment_bytes}}};
  open_file();
}

WeightCache::~WeightCache() {
  give_up_ = std::uncaught_exceptions() > 0;
  wait();
  if (file_ >= 0) ::close(file_);
}

void WeightCache::wait() {
  if (writer_.joinable()) writer_.join();
  weights_.clear();
}

void WeightCache::note(const std::string& text) const {
  if (options_.note) options_.note(fmt::format("[weight cache] {}: {}", path_.string(), text));
}

void WeightCache::open_file() {
  file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) return;
  try {
    cache_file::Header header = cache_file::read_header(file_);
    if (header.index.at("key") == key_) {
      index_ = std::move(header.index);
      data_offset_ = header.data_offset;
    } else {
      note("it belongs to another state of the checkpoint or program; the weights are converted again");
    }
  } catch (const std::exception& error) {
    note(fmt::format("it is damaged ({}); the weights are converted again", error.what()));
  }
}

bool WeightCache::holds(const tensor::Tensor& weight) const {
  if (index_.is_null()) return false;
  const json& weights = index_["weights"];
  return weights_.size() < weights.size() && weights[weights_.size()] == describe(weight);
}

void WeightCache::add(const tensor::Tensor& weight, std::function<void()> convert) {
  const bool held = holds(weight);
  weights_.push_back(weight);
  if (held) {
    waiting_.push_back(std::move(convert));
    return;
  }
  convert_waiting();
  convert();
}

void WeightCache::convert_waiting() {
  index_ = nullptr;
  for (const auto& convert : waiting_) convert();
  waiting_.clear();
}

void WeightCache::finish() {
  if (!index_.is_null() && weights_.size() == index_["weights"].size() && map_image()) {
    mapped_ = true;
    waiting_.clear();
    weights_.clear();
    return;
  }
  convert_waiting();
  device_.synchronize();
  Image image;
  if (!image_of_weights(image)) return;
  writer_ = std::thread([this, image] { write_file(image); });
}

bool WeightCache::image_of_weights(Image& image) const {
  if (weights_.empty()) return false;
  const ArchSpec& arch = device_.board().arch;
  std::int64_t next = weights_.front().address();
  image.begin = next * arch.dram_banks;
  for (const tensor::Tensor& weight : weights_) {
    // Whatever else lay between the weights would be overwritten by mapping them.
    if (weight.memory_config().buffer_type != BufferType::DRAM || weight.address() != next) return false;
    next += bytes_per_bank(weight.spec(), arch);
  }
  image.end = next * arch.dram_banks;
  return image.end - image.begin >= options_.smallest;
}

json WeightCache::index_of(const Image& image) const {
  json weights = json::array();
  for (const tensor::Tensor& weight : weights_) weights.push_back(describe(weight));
  return {{"key", key_}, {"weights", std::move(weights)}, {"begin", image.begin}, {"end", image.end}};
}

bool WeightCache::map_image() {
  Image image;
  const bool fits = image_of_weights(image) && index_["begin"] == image.begin && index_["end"] == image.end;
  device_.synchronize();
  if (!fits || !device_.map_file(image.begin, image.end - image.begin, file_, data_offset_)) {
    note("it cannot be mapped; the weights are converted again");
    return false;
  }
  if (verify(image)) return true;
  note("its data are damaged; the weights are converted again");
  device_.unmap_file(image.begin, image.end - image.begin);
  return false;
}

bool WeightCache::verify(const Image& image) const {
  const json& sums = index_["checksums"];
  const std::int64_t bytes = image.end - image.begin;
  if (!sums.is_array() || static_cast<std::int64_t>(sums.size()) != div_up(bytes, kBlock)) return false;
  const std::byte* memory = device_.memory(BufferType::DRAM).at(0) + image.begin;
  std::atomic<bool> good{true};
  base::ThreadPool& pool = base::ThreadPool::shared();
  pool.parallel_for(div_up(bytes, kBlock), device_.queue().threads(), [&](std::int64_t block) {
    const std::int64_t first = block * kBlock;
    const auto count = static_cast<std::size_t>(std::min(kBlock, bytes - first));
    const json& expected = sums[static_cast<std::size_t>(block)];
    if (expected != checksum({memory + first, count})) good = false;
  });
  return good;
}

void WeightCache::write_file(const Image& image) {
  try {
    cache_file::Writer writer(path_, index_of(image), image.begin, image.end - image.begin, kBlock);
    if (!writer.begun()) return; // another process writes the same
    const std::byte* memory = device_.memory(BufferType::DRAM).at(0) + image.begin;
    const std::int64_t bytes = image.end - image.begin;
    for (std::int64_t first = 0; first < bytes; first += kBlock) {
      if (give_up_) return;
      const std::span block(memory + first, static_cast<std::size_t>(std::min(kBlock, bytes - first)));
      writer.write(block, checksum(block));
    }
    writer.publish();
  } catch (const std::exception& error) {
    note(fmt::format("it is not kept: {}", error.what()));
  }
}

} // namespace tessera::nn
