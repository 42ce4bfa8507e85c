#include "tessera/bringup/stages/stages.hpp"

namespace tessera::bringup {

const std::vector<Stage>& all_stages() {
  static const std::vector<Stage> stages = {
      {"baseline", "the checkpoint is consistent, the reference makes sense of the text", baseline, baseline_work},
      {"decode-modules", "each module alone, token by token", decode_modules, decode_modules_work},
      {"decoder-layer", "whole layers, token by token", decoder_layer, decoder_layer_work},
      {"full-decode", "all layers in a row, each layer's output compared", full_decode, full_decode_work},
      {"decode-as-prefill", "prompts fed by decode steps, without a prefill of their own", decode_as_prefill,
       decode_as_prefill_work},
      {"prefill-modules", "each module and layer alone, whole sequences", prefill_modules, prefill_modules_work},
      {"full-model", "prefill, then decode, on real text", full_model, full_model_work},
      {"teacher-forcing", "reference tokens into both models", teacher_forcing, teacher_forcing_work},
      {"generation", "both models continue the prompts on their own", generation, generation_work},
      {"trace-and-queues", "steps replayed from a trace, over one queue and two, give the bits of steps run op by op",
       trace_and_queues, trace_and_queues_work},
      {"data-parallel", "copies on chips of their own: modules and model, the same bits user by user", data_parallel,
       data_parallel_work},
      {"tensor-parallel", "chips that share each layer: modules, then the model, against the reference and one copy",
       tensor_parallel, tensor_parallel_work},
      {"performance", "speed: measured on this host, predicted for the card, published", performance, performance_work},
  };
  return stages;
}

} // namespace tessera::bringup
