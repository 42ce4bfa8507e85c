#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tessera/bringup/tune/tuner.hpp"

namespace tessera::bringup {

/// Measurements of a search, kept in a file after each, so that a rerun takes them over and goes on where the last one
/// stopped. The file is named after the identity and holds it: measurements of another checkpoint, text or numerics are
/// never taken. Several searches may share the folder: each keeps what the others have added.
class TuneState {
 public:
  /// `identity` names all that a measurement depends on beside the precision. With an empty folder nothing is kept. A
  /// file that is damaged counts as none.
  TuneState(const std::filesystem::path& folder, std::string identity);

  std::optional<TuneAccuracy> find(const nlohmann::json& file, TextPart part) const;
  /// Throws IoError when the file cannot be written.
  void add(const nlohmann::json& file, TextPart part, const TuneAccuracy& accuracy);
  std::size_t size() const { return known_.size(); }

 private:
  void read();
  void write() const;

  std::filesystem::path path_; // empty: nothing is kept
  std::string identity_;
  std::map<std::string, TuneAccuracy> known_;
};

} // namespace tessera::bringup
