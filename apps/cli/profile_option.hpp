#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "apps/cli/model_options.hpp"
#include "tessera/profile/profiler.hpp"

namespace tessera::cli {

/// `--profile FILE.json`: what the queues and threads did, for Perfetto and for `tessera profile`.
class ProfileOption {
 public:
  void add(CLI::App& app);

  const std::string& file() const { return file_; } ///< empty: no profile is wanted

 private:
  std::string file_;
};

/// Records what runs on devices while it lives. Without a file all of it does nothing.
class ProfileRecording {
 public:
  /// `model` is the checkpoint as the user named it.
  ProfileRecording(const ProfileOption& option, std::vector<runtime::MeshDevice*> devices, const ModelOptions& options,
                   std::string model);
  ~ProfileRecording(); ///< without `write`, no file is left
  ProfileRecording(const ProfileRecording&) = delete;
  ProfileRecording& operator=(const ProfileRecording&) = delete;

  /// What the command is about from here on, until `end_stage`; a stage of the same name goes on.
  void begin_stage(const std::string& name);
  void end_stage();
  /// Ends the recording, measures the machine's limits (not after Ctrl-C: that takes a second), writes the file and
  /// says where it lies. Throws IoError.
  void write();

 private:
  void stop();

  const std::string file_;
  std::vector<runtime::MeshDevice*> devices_;
  profile::Origin origin_;
  std::string stage_;
  std::unique_ptr<profile::Profiler> profiler_;
};

} // namespace tessera::cli
