#include "tessera/checkpoint/hub_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/checkpoint/safetensors_bytes.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A home folder with a cache of its own: no test sees the user's.
class HubCache : public ::testing::Test {
 protected:
  HubCache() {
    for (const char* name : {"HF_HUB_CACHE", "HF_HOME", "HOME"}) {
      const char* value = std::getenv(name);
      saved_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      ::unsetenv(name);
    }
    ::setenv("HOME", home_.path().c_str(), 1);
  }
  ~HubCache() override {
    for (const auto& [name, value] : saved_) {
      if (value.has_value()) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
  }

  test::TemporaryFolder home_;
  const fs::path hub_ = ".cache/huggingface/hub";

 private:
  std::map<std::string, std::optional<std::string>> saved_;
};

TEST_F(HubCache, PrefersAFolderOfThatName) {
  EXPECT_EQ(find_checkpoint_folder(home_.path().string()), home_.path());
}

TEST_F(HubCache, TakesTheSnapshotOfRefsMain) {
  const fs::path model = hub_ / "models--org--name.v1";
  home_.write(model / "refs/main", "abc123\n");
  home_.write(model / "snapshots/abc123/config.json", "{}");
  home_.write(model / "snapshots/000000/config.json", "{}");
  EXPECT_EQ(find_checkpoint_folder("org/name.v1"), home_.path() / model / "snapshots/abc123");
}

TEST_F(HubCache, TakesTheOnlySnapshotWithoutRefs) {
  home_.write(hub_ / "models--gpt2/snapshots/ab/config.json", "{}");
  EXPECT_EQ(find_checkpoint_folder("gpt2"), home_.path() / hub_ / "models--gpt2/snapshots/ab");
}

TEST_F(HubCache, LooksInHfHomeFirst) {
  home_.write(hub_ / "models--org--name/snapshots/ab/config.json", "{}");
  home_.write("elsewhere/hub/models--org--name/snapshots/cd/config.json", "{}");
  ::setenv("HF_HOME", (home_.path() / "elsewhere").c_str(), 1);
  EXPECT_EQ(find_checkpoint_folder("org/name"), home_.path() / "elsewhere/hub/models--org--name/snapshots/cd");
}

TEST_F(HubCache, AsksWhichOfSeveralSnapshotsIsMeant) {
  home_.write(hub_ / "models--org--name/snapshots/ab/config.json", "{}");
  home_.write(hub_ / "models--org--name/snapshots/cd/config.json", "{}");
  EXPECT_THAT([] { find_checkpoint_folder("org/name"); }, ThrowsMessage<base::IoError>(HasSubstr("which of its 2")));
}

TEST_F(HubCache, DoesNotFollowARefOutOfTheSnapshots) {
  home_.write(hub_ / "models--org--name/refs/main", "../../../..");
  home_.write(hub_ / "models--org--name/snapshots/ab/config.json", "{}");
  EXPECT_EQ(find_checkpoint_folder("org/name"), home_.path() / hub_ / "models--org--name/snapshots/ab");
}

TEST_F(HubCache, SaysHowToGetWhatIsNotThere) {
  EXPECT_THAT([] { find_checkpoint_folder("org/name"); },
              ThrowsMessage<base::IoError>(
                  AllOf(HasSubstr("huggingface-cli download org/name"), HasSubstr((home_.path() / hub_).string()))));
  fs::create_directories(home_.path() / hub_ / "models--org--name");
  EXPECT_THAT([] { find_checkpoint_folder("org/name"); },
              ThrowsMessage<base::IoError>(HasSubstr("huggingface-cli download org/name")));
}

TEST_F(HubCache, RefusesWhatIsNeitherFolderNorName) {
  for (const char* name : {"", "/nowhere/at/all", "a/b/c", "../x", "org/", "a b", "org/..", "x\ny"}) {
    EXPECT_THROW(find_checkpoint_folder(name), base::IoError) << name;
  }
}

TEST_F(HubCache, RefusesFiles) {
  const auto weights = home_.write("model.safetensors", "");
  EXPECT_THAT([&] { find_checkpoint_folder(weights.string()); }, ThrowsMessage<base::IoError>(HasSubstr("its folder")));
  const auto gguf = home_.write("model.gguf", "");
  EXPECT_THAT([&] { find_checkpoint_folder(gguf.string()); }, ThrowsMessage<base::Unsupported>(HasSubstr("GGUF")));
}

TEST_F(HubCache, OpensSnapshotsWhoseFilesAreLinksToBlobs) {
  const fs::path model = hub_ / "models--org--name";
  home_.write(model / "blobs/1", "{}");
  home_.write(model / "blobs/2", test::small_safetensors());
  const fs::path snapshot = home_.path() / model / "snapshots/ab";
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/1", snapshot / "config.json");
  fs::create_symlink("../../blobs/2", snapshot / "model.safetensors");
  EXPECT_TRUE(Checkpoint::open("org/name").contains("a"));
}

} // namespace
} // namespace tessera::checkpoint
