#include "apps/cli/command.hpp"

namespace tessera::cli {

std::vector<Command> all_commands() {
  return {bringup_command(),  report_command(),     compare_command(), bisect_command(),  tune_command(),
          export_command(),   generate_command(),   chat_command(),    forward_command(), classify_command(),
          tokenize_command(), detokenize_command(), plan_command(),    predict_command(), bench_command(),
          profile_command(),  replay_op_command(),  devices_command(), models_command()};
}

} // namespace tessera::cli
