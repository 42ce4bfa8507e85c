#include "apps/cli/classifier.hpp"

#include <filesystem>

#include "apps/cli/board_file.hpp"
#include "apps/cli/ranks.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::cli {
namespace {

constexpr std::size_t kMaxConfigBytes = 1 << 20;

} // namespace

bool is_image_classifier(const checkpoint::Checkpoint& checkpoint) {
  return models::vision_family_of(checkpoint) != nullptr;
}

ClassifierOnBoard open_classifier(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                                  std::int64_t images, std::optional<std::uint64_t> random_seed) {
  base::require(options.context == 0 && (options.tp.empty() || options.tp == "1"),
                "[classifier] an image classifier has no --context, and every chip holds all of it (--tp 1); received "
                "--context {} and --tp {}",
                options.context, options.tp.empty() ? "1" : options.tp);
  base::require<base::Unsupported>(!Ranks::several(),
                                   "[ranks] an image classifier runs on one rank; start it without mpirun");
  BoardSpec board = find_board(options.board);
  const std::int64_t chips = options.dp.value_or(std::min(board.chips(), images));
  base::require(1 <= chips && chips <= board.chips(), "[dp] 1 to {} copies have chips on {}; received {}",
                board.chips(), board.name, chips);
  if (chips < board.chips()) {
    board.mesh_rows = 1;
    board.mesh_columns = chips;
  }
  ClassifierOnBoard opened;
  opened.mesh = runtime::MeshDevice::open({.board = board,
                                           .numerics = parse_numerics(options.numerics),
                                           .threads = options.threads,
                                           .pin_threads = options.pin_threads,
                                           .command_queues = options.command_queues,
                                           .trace_region_size = options.trace_region_size});
  opened.model = models::load_image_classifier(opened.mesh, checkpoint,
                                               {.precision = options.precision, .random_seed = random_seed});
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
