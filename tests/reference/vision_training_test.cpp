// The trainer of the image model as a program, and the pictures that it draws.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <set>

#include "apps/train/vision/shapes.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/image/image.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera {
namespace {

class VisionTrainer : public testing::Test {
 protected:
  /// Exit code of the trainer; what it printed lies in `log`.
  int train(const std::string& options, const std::string& model = "model") {
    const std::string command = TESSERA_TRAIN_VISION " --output " + (folder_.path() / model).string() +
                                " --side 24 --stem 16 --widths 16,32 --depth 1 " + options + " >" +
                                (folder_.path() / "log").string() + " 2>&1";
    const int status = std::system(command.c_str());
    log_ = base::read_file(folder_.path() / "log");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string written(const std::string& file, const std::string& model = "model") const {
    return base::read_file(folder_.path() / model / file);
  }

  test::TemporaryFolder folder_;
  std::string log_;
};

TEST_F(VisionTrainer, LearnsAndWritesACheckpointThatTheReferenceOpens) {
  ASSERT_EQ(train("--steps 400 --batch 40 --lr 0.01 --eval-every 400 --held-out 40"), 0) << log_;
  const std::string label = "held-out top-1 ";
  const std::size_t accuracy = log_.find(label);
  ASSERT_NE(accuracy, std::string::npos) << log_;
  // Chance gives 10 % of the 512 pictures, with a standard deviation of 1.3 %.
  EXPECT_GT(std::stod(log_.substr(accuracy + label.size())), 15.0) << log_;

  const auto checkpoint = checkpoint::Checkpoint::open((folder_.path() / "model").string());
  const auto model = reference::open_classifier(checkpoint, 1);
  EXPECT_EQ(model->info().classes, std::ssize(train::shape_names()));
  EXPECT_EQ(model->info().image_size, 24);
  EXPECT_EQ(checkpoint.config().at("id2label").at("3"), "triangle");
  EXPECT_EQ(checkpoint.tensor("resnet.embedder.embedder.convolution.weight").dtype, checkpoint::StorageType::BF16);
  const auto held_out = checkpoint::SafeTensors::open(folder_.path() / "model" / "heldout.safetensors");
  EXPECT_EQ(held_out.at("images").shape, (std::vector<std::int64_t>{40, 24, 24, 3}));
  EXPECT_EQ(checkpoint::to_int64(held_out.at("labels")).back(), 9);
  const image::Image star = image::read_image(folder_.path() / "model" / "examples" / "star.png");
  EXPECT_EQ(star.height, 48);
}

TEST_F(VisionTrainer, GivesTheSameFilesForTheSameSeed) {
  ASSERT_EQ(train("--steps 3 --batch 8 --held-out 20", "a"), 0) << log_;
  ASSERT_EQ(train("--steps 3 --batch 8 --held-out 20", "b"), 0) << log_;
  ASSERT_EQ(train("--steps 3 --batch 8 --held-out 20 --seed 2", "c"), 0) << log_;
  for (const char* file : {"model.safetensors", "heldout.safetensors", "examples/ring.png"})
    EXPECT_EQ(written(file, "a"), written(file, "b")) << file;
  EXPECT_NE(written("model.safetensors", "a"), written("model.safetensors", "c"));
  EXPECT_EQ(written("heldout.safetensors", "a"), written("heldout.safetensors", "c"));
}

TEST_F(VisionTrainer, EndsWithOneLineWhereItCannotWrite) {
  folder_.write("taken", "a file");
  EXPECT_EQ(train("--steps 1 --batch 8", "taken"), 1);
  EXPECT_THAT(log_, testing::ContainsRegex("\ntessera-train-vision: [^\n]*taken[^\n]*\n$"));
}

TEST(DrawShape, GivesOnePictureForANumberAndAnotherForTheNext) {
  std::set<std::vector<std::uint8_t>> pictures;
  for (std::int64_t shape = 0; shape < std::ssize(train::shape_names()); ++shape) {
    for (std::uint64_t number = 0; number < 4; ++number) {
      const image::Image picture = train::draw_shape(shape, 24, number);
      EXPECT_EQ(picture.pixels, train::draw_shape(shape, 24, number).pixels);
      EXPECT_EQ(picture.pixels.size(), 24U * 24 * 3);
      pictures.insert(picture.pixels);
    }
  }
  EXPECT_EQ(pictures.size(), 4 * train::shape_names().size());
}

TEST(DrawShape, DrewTheHeldOutPicturesOfTheDemo) {
  const auto held_out = checkpoint::SafeTensors::open(TESSERA_DEMO_VISION "/heldout.safetensors");
  const auto& view = held_out.at("images");
  const std::vector<std::int64_t> labels = checkpoint::to_int64(held_out.at("labels"));
  ASSERT_EQ(view.shape[0], std::ssize(labels));
  const std::size_t size = view.data.size() / labels.size();
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, labels.size() - 1}) {
    const image::Image drawn = train::draw_shape(labels[i], view.shape[1], (std::uint64_t{1} << 40) + i);
    const auto* stored = reinterpret_cast<const std::uint8_t*>(view.data.data()) + i * size;
    for (std::size_t j = 0; j < size; ++j) // another libm may round a channel the other way
      ASSERT_LE(std::abs(drawn.pixels[j] - stored[j]), 1) << i << " " << j;
  }
}

} // namespace
} // namespace tessera
