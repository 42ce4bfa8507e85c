#include "tessera/bringup/tune/tune_state.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <system_error>

#include "tessera/base/file.hpp"
#include "tessera/bringup/identity.hpp"

namespace tessera::bringup {
namespace {

std::string key_of(const nlohmann::json& file, TextPart part) {
  return (part == TextPart::JUDGED ? "judged " : "calibration ") + file.dump();
}

// JSON has no infinity, which is the divergence of logits that are no numbers.
nlohmann::json number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}
double value_of(const nlohmann::json& number) {
  return number.is_number() ? number.get<double>() : std::numeric_limits<double>::infinity();
}

/// Keeps other searches from writing into the folder. Where files cannot be locked it does nothing: the file stays
/// whole, and at worst a measurement is made twice.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    file_ = ::open((folder / "measurements.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ >= 0) ::flock(file_, LOCK_EX);
  }
  ~FolderLock() {
    if (file_ >= 0) ::close(file_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_ = -1;
};

} // namespace

TuneState::TuneState(const std::filesystem::path& folder, std::string identity) : identity_(std::move(identity)) {
  if (folder.empty()) return;
  path_ = folder / ("measurements-" + hash_of(identity_) + ".json");
  read();
}

void TuneState::read() {
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) return;
  const nlohmann::json json = nlohmann::json::parse(base::read_file(path_), nullptr, false);
  if (!json.is_object() || !json.contains("identity") || json.at("identity") != identity_) return;
  if (!json.contains("measurements") || !json.at("measurements").is_object()) return;
  for (const auto& [key, entry] : json.at("measurements").items()) {
    if (!entry.is_array() || entry.size() != 5 || !entry.at(4).is_number_integer()) continue;
    known_.try_emplace(key, TuneAccuracy{.top1 = value_of(entry.at(0)),
                                         .top5 = value_of(entry.at(1)),
                                         .kl_divergence = value_of(entry.at(2)),
                                         .pcc = value_of(entry.at(3)),
                                         .positions = entry.at(4).get<std::int64_t>()});
  }
}

void TuneState::write() const {
  nlohmann::json measurements = nlohmann::json::object();
  for (const auto& [key, accuracy] : known_) {
    measurements[key] = {number(accuracy.top1), number(accuracy.top5), number(accuracy.kl_divergence),
                         number(accuracy.pcc), accuracy.positions};
  }
  const nlohmann::json json{{"identity", identity_},
                            {"columns", {"top1", "top5", "kl_divergence", "pcc", "positions"}},
                            {"measurements", std::move(measurements)}};
  base::write_file_atomically(path_, json.dump(1) + "\n");
}

std::optional<TuneAccuracy> TuneState::find(const nlohmann::json& file, TextPart part) const {
  const auto found = known_.find(key_of(file, part));
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

void TuneState::add(const nlohmann::json& file, TextPart part, const TuneAccuracy& accuracy) {
  known_[key_of(file, part)] = accuracy;
  if (path_.empty()) return;
  const FolderLock lock(path_.parent_path());
  read(); // what other searches have added
  write();
}

} // namespace tessera::bringup
