#include "tessera/bringup/export/handoff.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <system_error>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/export/handoff_readme.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/checkpoint/torch_file.hpp"

namespace tessera::bringup {
namespace {

namespace fs = std::filesystem;
using tensor::HostTensor;

constexpr const char* kManifest = "export.json";
constexpr const char* kFormat = "tessera export 1";
constexpr std::size_t kTop = 5;

/// Ids of the five largest logits, the largest first; of equal ones the lower id.
void append_top5(std::span<const float> row, std::vector<std::int64_t>& ids) {
  std::vector<std::int64_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto greater = [&](std::int64_t a, std::int64_t b) {
    const float x = row[static_cast<std::size_t>(a)];
    const float y = row[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + kTop, order.end(), greater);
  ids.insert(ids.end(), order.begin(), order.begin() + kTop);
}

nlohmann::json write_reference_tokens(const Handoff& handoff, const fs::path& path) {
  const ReferenceOutput* output = handoff.reference.sequence(handoff.text);
  const auto length = static_cast<std::int64_t>(handoff.text.size());
  base::require(output != nullptr && output->logits.shape[0] == length,
                "[export] the reference must know the logits of all of the text; {} does not",
                handoff.reference.description());
  require_finite_logits(output->logits, "export");
  base::require(output->logits.shape[1] >= static_cast<std::int64_t>(kTop),
                "[export] a vocabulary of 5 or more is required; received {}", output->logits.shape[1]);
  std::vector<std::int64_t> top5;
  for (std::int64_t i = 0; i < length; ++i) append_top5(output->logits.row(i), top5);
  const checkpoint::IntegerTensor tensors[] = {
      {"top5_tokens", {length, static_cast<std::int64_t>(kTop)}, std::move(top5)},
      {"reference_tokens", {1, length}, {handoff.text.begin(), handoff.text.end()}}};
  checkpoint::write_torch_file(path, tensors);
  return {{"file", path.filename().string()}, {"tokens", length}, {"split", length / 2}};
}

/// Of [B, S, W] or [B, S] ids: the first sequence [1, S, W].
HostTensor first_sequence(const HostTensor& all) {
  HostTensor part{all.shape.with(0, 1), {}};
  part.data.assign(all.data.begin(), all.data.begin() + part.shape.volume());
  return part;
}

/// The first steps of all sequences [steps, B, 1, W]: what a decode test feeds one after the other.
HostTensor steps_of(const HostTensor& all, std::int64_t steps) {
  const bool ids = all.shape.rank() == 2;
  const std::int64_t users = all.shape[0];
  const std::int64_t positions = all.shape[1];
  const std::int64_t width = ids ? 1 : all.shape[2];
  HostTensor part{ids ? Shape{steps, users, 1} : Shape{steps, users, 1, width}, {}};
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::int64_t user = 0; user < users; ++user) {
      const auto row = all.data.begin() + (user * positions + step) * width;
      part.data.insert(part.data.end(), row, row + width);
    }
  }
  return part;
}

/// Named tensors of one file; those of ids as integers.
class TensorFile {
 public:
  void add(std::string name, const HostTensor& values, bool ids) {
    Entry& entry = entries_.emplace_back(Entry{.name = std::move(name), .values = values});
    if (!ids) return;
    entry.ids.assign(values.data.begin(), values.data.end());
  }
  nlohmann::json write(const fs::path& path, const std::map<std::string, std::string>& metadata) const {
    nlohmann::json shapes = nlohmann::json::object();
    std::vector<checkpoint::OutputTensor> tensors;
    for (const Entry& entry : entries_) {
      std::vector<std::int64_t> shape;
      for (std::size_t i = 0; i < entry.values.shape.rank(); ++i)
        shape.push_back(entry.values.shape[static_cast<int>(i)]);
      const bool ids = !entry.ids.empty();
      tensors.push_back(
          {.name = entry.name,
           .dtype = ids ? checkpoint::StorageType::I64 : checkpoint::StorageType::F32,
           .shape = shape,
           .data = ids ? std::as_bytes(std::span(entry.ids)) : std::as_bytes(std::span(entry.values.data))});
      shapes[entry.name] = shape;
    }
    checkpoint::write_safetensors(path, tensors, metadata);
    return shapes;
  }

 private:
  struct Entry {
    std::string name;
    HostTensor values;
    std::vector<std::int64_t> ids;
  };
  std::vector<Entry> entries_;
};

nlohmann::json write_module(const Handoff& handoff, const std::string& module, const fs::path& folder) {
  const ModuleCase* golden = handoff.reference.module_case(module);
  base::require(golden != nullptr, "[export] the reference must know the module {}; {} does not", module,
                handoff.reference.description());
  const bool ids = golden->input.shape.rank() == 2;
  const std::int64_t steps = std::min(kDecodeSteps, golden->input.shape[1]);
  TensorFile file;
  file.add("prefill_input", first_sequence(golden->input), ids);
  file.add("prefill_output", first_sequence(golden->expected), false);
  file.add("decode_input", steps_of(golden->input, steps), ids);
  file.add("decode_output", steps_of(golden->expected, steps), false);
  const std::string name = "modules/" + module + ".safetensors";
  const nlohmann::json shapes =
      file.write(folder / name, {{"module", module}, {"reference", handoff.reference.description()}});
  return {{"module", module}, {"file", name}, {"test", test_of_module(module)}, {"shapes", shapes}};
}

/// A folder beside the one that is to be, removed again unless it was put in its place.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& target)
      : target_(target), path_(target.string() + fmt::format(".{}.part", ::getpid())) {
    std::error_code error;
    fs::create_directories(path_ / "modules", error);
    base::require<base::IoError>(!error, "[export] {} cannot be made: {}", path_.string(), error.message());
  }
  ~NewFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return path_; }
  void put_in_place() const {
    const fs::path old = target_.string() + fmt::format(".{}.old", ::getpid());
    std::error_code error;
    const bool replaces = fs::exists(target_);
    if (replaces) fs::rename(target_, old, error);
    if (!error) fs::rename(path_, target_, error);
    if (std::error_code ignored; error && replaces && !fs::exists(target_, ignored)) fs::rename(old, target_, ignored);
    base::require<base::IoError>(!error, "[export] {} cannot be put in its place: {}", target_.string(),
                                 error.message());
    if (replaces) fs::remove_all(old, error);
  }

 private:
  fs::path target_;
  fs::path path_;
};

/// Without a slash at its end.
fs::path plain(const fs::path& folder) {
  const fs::path normal = folder.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

/// What an export's manifest lists, relative to the folder; nothing where it is none of an export.
std::set<fs::path> listed_files(const nlohmann::json& manifest) {
  if (!manifest.is_object() || !manifest.contains("format") || manifest.at("format") != kFormat) return {};
  std::set<fs::path> files{kManifest, "README.md", "modules"};
  const auto add = [&](const nlohmann::json& holder, const char* key) {
    if (holder.is_object() && holder.contains(key) && holder.at(key).is_string())
      files.insert(fs::path(holder.at(key).get<std::string>()).lexically_normal());
  };
  add(manifest, "decoder_config");
  if (manifest.contains("reference_tokens")) add(manifest.at("reference_tokens"), "file");
  if (manifest.contains("modules")) {
    for (const auto& module : manifest.at("modules")) add(module, "file");
  }
  return files;
}

} // namespace

void check_export_folder(const fs::path& folder) {
  base::require(!plain(folder).empty(), "[export] a folder is required; received an empty name");
  std::error_code error;
  if (!fs::exists(folder, error)) return;
  base::require(fs::is_directory(folder, error), "[export] a folder is required; {} is a file", folder.string());
  const std::string name = plain(folder).filename().string();
  base::require(
      name != "." && name != ".." && !fs::equivalent(folder, fs::current_path(error), error),
      "[export] a folder that can be replaced as a whole is required; {} is the current one or above it; name "
      "one inside it",
      folder.string());
  if (fs::is_empty(folder, error)) return;
  std::set<fs::path> listed;
  if (fs::is_regular_file(folder / kManifest, error))
    listed = listed_files(nlohmann::json::parse(base::read_file(folder / kManifest), nullptr, false));
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path file = entry.path().lexically_relative(folder);
    base::require(listed.contains(file),
                  "[export] the folder must be empty, absent or an earlier export, which is replaced; {} holds other "
                  "files, such as {}; choose another folder or move them",
                  folder.string(), file.string());
  }
}

nlohmann::json write_handoff(const Handoff& handoff, const fs::path& folder) {
  check_export_folder(folder);
  base::require(handoff.text.size() >= 4, "[export] a text of 4 tokens or more is required; received {}",
                handoff.text.size());
  const NewFolder made(plain(folder));
  const auto files = static_cast<std::int64_t>(handoff.modules.size()) + 2;
  std::int64_t done = 0;
  const auto advance = [&] {
    if (handoff.progress) handoff.progress(++done, files);
  };
  base::write_file_atomically(made.path() / "decoder_config.json", handoff.settings.json.dump(4) + "\n");
  advance();
  nlohmann::json manifest{{"format", kFormat},
                          {"checkpoint", handoff.checkpoint},
                          {"precision", handoff.precision},
                          {"reference", handoff.reference.description()},
                          {"text", handoff.text_source},
                          {"decoder_config", "decoder_config.json"},
                          {"left_out", handoff.settings.left_out}};
  manifest["reference_tokens"] = write_reference_tokens(handoff, made.path() / (handoff.model_name + ".refpt"));
  advance();
  manifest["modules"] = nlohmann::json::array();
  for (const std::string& module : handoff.modules) {
    manifest["modules"].push_back(write_module(handoff, module, made.path()));
    advance();
  }
  base::write_file_atomically(made.path() / "README.md", handoff_readme(manifest));
  base::write_file_atomically(made.path() / kManifest, manifest.dump(2) + "\n");
  made.put_in_place();
  return manifest;
}

} // namespace tessera::bringup
