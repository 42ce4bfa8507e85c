// The LoFi products against the exact ones on the operands of golden/numerics/matmul.safetensors.

#include <cstring>
#include <filesystem>

#include "tessera/checkpoint/safetensors.hpp"
#include "tests/kernels/kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

using checkpoint::SafeTensors;

std::filesystem::path golden_file() {
  const char* folder = std::getenv("TESSERA_GOLDEN");
  const std::filesystem::path root = folder != nullptr ? folder : TESSERA_SOURCE_DIR "/../shared/golden";
  return root / "numerics/matmul.safetensors";
}

class LofiGolden : public KernelsTest {
 protected:
  /// Relative Frobenius error of a [m, k] times b [k, n] in BFLOAT4_B, against the products of the stored values.
  double error(const std::vector<float>& a, const std::vector<float>& b, std::int64_t m, std::int64_t k,
               std::int64_t n) const {
    TiledMatrix w(DataType::BFLOAT4_B, k / 32, n / 32);
    for (std::int64_t row = 0; row < k; ++row) oracle->store_row(w.tiles, row, b.data() + row * n, n);
    const std::int64_t stride = k / 32 * tested->int8_block_bytes;
    std::vector<std::byte> packed(static_cast<std::size_t>(m * stride));
    for (std::int64_t row = 0; row < m; ++row) tested->pack_int8(a.data() + row * k, k, packed.data() + row * stride);
    std::vector<float> products(static_cast<std::size_t>(m * n));
    tested->matmul_int8_tile_columns(packed.data(), stride, m, k, w.tiles, 0, n / 32, products.data());
    double wrong = 0.0;
    double all = 0.0;
    std::vector<float> column(static_cast<std::size_t>(n));
    std::vector<double> exact(static_cast<std::size_t>(m * n));
    for (std::int64_t step = 0; step < k; ++step) {
      oracle->load_row(w.tiles, step, 0, n, column.data());
      for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          exact[static_cast<std::size_t>(i * n + j)] +=
              double{a[static_cast<std::size_t>(i * k + step)]} * double{column[static_cast<std::size_t>(j)]};
        }
      }
    }
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        const double value = exact[static_cast<std::size_t>(i * n + j)];
        const double got = products[static_cast<std::size_t>((j / 32 * m + i) * 32 + j % 32)];
        wrong += (got - value) * (got - value);
        all += value * value;
      }
    }
    return std::sqrt(wrong / all);
  }
};

std::vector<float> floats(const checkpoint::TensorView& view) {
  std::vector<float> values(view.data.size() / sizeof(float));
  std::memcpy(values.data(), view.data.data(), values.size() * sizeof(float));
  return values;
}

TEST_F(LofiGolden, ErrsByAtMostAHundredthOnNormalAndTwoOnOutlierActivations) {
  if (!std::filesystem::exists(golden_file())) GTEST_SKIP() << golden_file() << " is absent";
  const SafeTensors file = SafeTensors::open(golden_file());
  int cases = 0;
  for (const std::string& name : file.names()) {
    if (!name.ends_with(".a.val")) continue;
    // mm.<M>x<K>x<N>.<formats>.<distribution of a>_<distribution of b>.a.val
    const std::string stem = name.substr(0, name.size() - 6);
    const std::string distributions = stem.substr(stem.rfind('.') + 1);
    const bool outlier = distributions.starts_with("outlier_");
    if (!outlier && !distributions.starts_with("normal_")) continue;
    const checkpoint::TensorView& a = file.at(name);
    const checkpoint::TensorView& b = file.at(stem + ".b.fp32");
    SCOPED_TRACE(stem);
    EXPECT_LE(error(floats(a), floats(b), a.shape[0], a.shape[1], b.shape[1]), outlier ? 0.02 : 0.01);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

} // namespace
} // namespace tessera::kernels
