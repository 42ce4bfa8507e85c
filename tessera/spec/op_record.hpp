#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/spec/compute_config.hpp"
#include "tessera/spec/decomposition.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera {

/// A tensor as an op saw it: what it is and where it lay on every chip of the mesh.
struct OperandRecord {
  std::string name;         ///< the op's argument name: "input_tensor_a", "weight", "output"
  TensorSpec spec;          ///< of one chip's shard
  std::int64_t address = 0; ///< bytes from the start of each bank
};

/// Work of one chip. FLOPs count a multiply-add as two and are of unpadded extents; bytes are those of whole pages.
struct OpWork {
  std::int64_t matmul_flops = 0; ///< on the matrix unit
  MathFidelity fidelity = MathFidelity::HiFi4;
  std::int64_t vector_flops = 0; ///< element-wise and reductions
  std::int64_t dram_read_bytes = 0;
  std::int64_t dram_write_bytes = 0;
  std::int64_t l1_bytes = 0;       ///< read and written
  std::int64_t ethernet_bytes = 0; ///< sent over each link
};

using AttributeValue = std::variant<std::int64_t, double, bool, std::string>;

/// What one program was: everything that a report, an estimate, an op graph or an export needs to know of it.
struct OpRecord {
  std::string name;  ///< TT-NN's name: "linear", "paged_scaled_dot_product_attention_decode"
  std::string scope; ///< the module that called it: "layers.3.attention"
  std::vector<OperandRecord> inputs;
  std::vector<OperandRecord> outputs;
  std::vector<std::pair<std::string, AttributeValue>> attributes;
  OpWork work;
  std::shared_ptr<const Decomposition> decomposition; ///< what the card's units compute
};

} // namespace tessera
