#include "apps/cli/classifier.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "apps/cli/board_file.hpp"
#include "apps/cli/op_watch.hpp"
#include "apps/cli/ranks.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {
namespace {

constexpr std::size_t kMaxConfigBytes = 1 << 20;

} // namespace

bool is_classifier(const checkpoint::Checkpoint& checkpoint) {
  return models::classifier_family_of(checkpoint) != nullptr;
}

ClassifierOnBoard open_classifier(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                                  std::int64_t items, std::optional<std::uint64_t> random_seed) {
  base::require(options.context == 0, "[classifier] a classifier has no --context; received --context {}",
                options.context);
  base::require<base::Unsupported>(!Ranks::several(), "[ranks] a classifier runs on one rank; start it without mpirun");
  BoardSpec board = find_board(options.board);
  models::Parallelism parallelism;
  if (!options.tp.empty()) parallelism = models::parse_tensor_parallelism(board, options.tp);
  base::require(parallelism.scheme == nn::TensorParallelScheme::LINE,
                "[classifier] the chips that share a classifier stand in a line (--tp N); received --tp {}",
                options.tp);
  const std::int64_t tp = parallelism.tp();
  models::check_tensor_parallel(checkpoint, tp);
  const std::int64_t most = parallelism.most_copies(board);
  const std::int64_t copies = options.dp.value_or(std::min(most, items));
  base::require(1 <= copies && copies <= most, "[dp] 1 to {} copies of {} have chips on {}; received {}", most,
                tp == 1 ? "one chip" : fmt::format("{} chips", tp), board.name, copies);
  if (tp > 1 || copies < most) {
    // The lines of the board, one after the other in row-major order, each a row.
    board.mesh_rows = tp == 1 ? 1 : copies;
    board.mesh_columns = tp == 1 ? copies : tp;
  }
  ClassifierOnBoard opened;
  opened.mesh = runtime::MeshDevice::open({.board = board,
                                           .numerics = parse_numerics(options.numerics),
                                           .threads = options.threads,
                                           .pin_threads = options.pin_threads,
                                           .command_queues = options.command_queues,
                                           .trace_region_size = options.trace_region_size});
  opened.model = models::load_classifier(
      opened.mesh, checkpoint, {.precision = options.precision, .random_seed = random_seed, .tensor_parallel = tp});
  OpWatch::attach(*opened.mesh, options.board);
  return opened;
}

image::Preprocessing preprocessing_of(const checkpoint::Checkpoint& checkpoint) {
  const std::filesystem::path path = checkpoint.folder() / "preprocessor_config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error) && checkpoint.config().empty()) return image::torchvision_preprocessing();
  const auto json = checkpoint::parse_json(base::read_file(path, kMaxConfigBytes), path.string());
  return image::read_preprocessing(checkpoint::ConfigReader(json, path.string()));
}

} // namespace tessera::cli
