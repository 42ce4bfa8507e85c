#pragma once

#include <span>
#include <string_view>

#include "tessera/perfmodel/constants.hpp"

// The constants by name: what reads them from JSON and what fits them go through the same tables.

namespace tessera::perfmodel {

template <typename Struct>
struct Field {
  std::string_view name;
  double Struct::*member;
};

/// The fields of a struct of constants.
template <typename Struct>
std::span<const Field<Struct>> fields_of();

template <>
inline std::span<const Field<ChipConstants>> fields_of<ChipConstants>() {
  static constexpr Field<ChipConstants> table[] = {
      {"matmul_clock_hz", &ChipConstants::matmul_clock_hz},
      {"matrix_efficiency", &ChipConstants::matrix_efficiency},
      {"tile_overhead_cycles", &ChipConstants::tile_overhead_cycles},
      {"unpack_bytes_per_cycle", &ChipConstants::unpack_bytes_per_cycle},
      {"read_tile_cycles", &ChipConstants::read_tile_cycles},
      {"read_bytes_per_cycle", &ChipConstants::read_bytes_per_cycle},
      {"block_latency_cycles", &ChipConstants::block_latency_cycles},
      {"program_cycles", &ChipConstants::program_cycles},
      {"launch_gap_ns", &ChipConstants::launch_gap_ns},
      {"drain_bytes_per_s", &ChipConstants::drain_bytes_per_s},
      {"dram_read_bytes_per_s", &ChipConstants::dram_read_bytes_per_s},
      {"noc_bytes_per_cycle", &ChipConstants::noc_bytes_per_cycle},
      {"reload_cycles", &ChipConstants::reload_cycles},
      {"host_call_default_ns", &ChipConstants::host_call_default_ns},
      {"host_call_tuned_bf16_ns", &ChipConstants::host_call_tuned_bf16_ns},
      {"host_call_tuned_bfp8_ns", &ChipConstants::host_call_tuned_bfp8_ns},
      {"host_call_tuned_bfp4_ns", &ChipConstants::host_call_tuned_bfp4_ns},
      {"untraced_gap_ns", &ChipConstants::untraced_gap_ns},
      {"sharded_dram_bytes_per_s", &ChipConstants::sharded_dram_bytes_per_s},
      {"decode_tile_cycles", &ChipConstants::decode_tile_cycles},
      {"decode_matmul_ns", &ChipConstants::decode_matmul_ns},
      {"attention_chunk_cycles", &ChipConstants::attention_chunk_cycles},
      {"attention_dram_bytes_per_s", &ChipConstants::attention_dram_bytes_per_s},
      {"attention_efficiency", &ChipConstants::attention_efficiency},
      {"attention_ns", &ChipConstants::attention_ns},
      {"attention_join_ns", &ChipConstants::attention_join_ns},
      {"stream_ns", &ChipConstants::stream_ns},
      {"stream_l1_ns", &ChipConstants::stream_l1_ns},
      {"op_gap_ns", &ChipConstants::op_gap_ns},
      {"minimal_matmul_ns", &ChipConstants::minimal_matmul_ns},
      {"minimal_matmul_bytes_per_s", &ChipConstants::minimal_matmul_bytes_per_s},
      {"narrow_read_cycles", &ChipConstants::narrow_read_cycles},
      {"narrow_write_cycles", &ChipConstants::narrow_write_cycles},
      {"conv_tile_cycles", &ChipConstants::conv_tile_cycles},
      {"decode_error", &ChipConstants::decode_error},
      {"mesh_decode_error", &ChipConstants::mesh_decode_error},
      {"prefill_error", &ChipConstants::prefill_error},
  };
  return table;
}

template <>
inline std::span<const Field<StreamConstants>> fields_of<StreamConstants>() {
  static constexpr Field<StreamConstants> table[] = {
      {"base_ns", &StreamConstants::base_ns},
      {"dram_tile_cycles", &StreamConstants::dram_tile_cycles},
      {"l1_tile_cycles", &StreamConstants::l1_tile_cycles},
  };
  return table;
}

template <>
inline std::span<const Field<CollectiveConstants>> fields_of<CollectiveConstants>() {
  static constexpr Field<CollectiveConstants> table[] = {
      {"start_ns", &CollectiveConstants::start_ns},
      {"hop_ns", &CollectiveConstants::hop_ns},
      {"bytes_per_s", &CollectiveConstants::bytes_per_s},
  };
  return table;
}

template <>
inline std::span<const Field<HostConstants>> fields_of<HostConstants>() {
  static constexpr Field<HostConstants> table[] = {
      {"step_ns", &HostConstants::step_ns},         {"logit_row_ns", &HostConstants::logit_row_ns},
      {"logits_ns", &HostConstants::logits_ns},     {"submesh_ns", &HostConstants::submesh_ns},
      {"prefill_ns", &HostConstants::prefill_ns},   {"prefill_chip_ns", &HostConstants::prefill_chip_ns},
      {"eager_op_ns", &HostConstants::eager_op_ns}, {"image_batch_ns", &HostConstants::image_batch_ns},
  };
  return table;
}

template <>
inline std::span<const Field<ErrorBars>> fields_of<ErrorBars>() {
  static constexpr Field<ErrorBars> table[] = {
      {"tuned_matmul", &ErrorBars::tuned_matmul},
      {"default_matmul", &ErrorBars::default_matmul},
      {"op", &ErrorBars::op},
      {"images", &ErrorBars::images},
  };
  return table;
}

} // namespace tessera::perfmodel
