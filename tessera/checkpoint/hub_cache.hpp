#pragma once

#include <filesystem>
#include <string>

namespace tessera::checkpoint {

/// The folder of a checkpoint: `name` itself when there is such a folder, else the snapshot of the Hugging Face model
/// `org/name` in the local cache ($HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub): the revision of
/// `refs/main`, or the only one. Throws IoError that says how to get it when it is not there.
std::filesystem::path find_checkpoint_folder(const std::string& name);

} // namespace tessera::checkpoint
