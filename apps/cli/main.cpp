// tessera: brings a model up for Tenstorrent's tile accelerators, without one. Parses, calls the library, formats.

#include <fmt/ranges.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <map>
#include <set>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/op_watch.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"

namespace {

using namespace tessera::cli;

constexpr const char* kDescription =
    "Tessera brings a model up for Tenstorrent's tile accelerators: from a Hugging Face checkpoint to verified tokens "
    "on a virtual card.";

constexpr const char* kConventions =
    R"(A checkpoint is a folder in the Hugging Face layout, or a name (org/name) in the local hub cache.
Products (text, ids, tables) go to standard output; figures, progress and notes to standard error.

Exit codes:
  0 success   1 the answer is no (a stage failed, a plan does not fit) or another error   2 invalid argument
  3 file absent, damaged or not writable   4 out of memory   5 not built   6 device error   7 interrupted)";

struct Program {
  CLI::App app{kDescription, "tessera"};
  bool verbose = false;
  std::map<CLI::App*, std::function<int()>> run;
  std::set<CLI::App*> on_several_ranks;
};

void add_commands(Program& program) {
  program.app.set_version_flag("--version", std::string("tessera ") + TESSERA_VERSION);
  program.app.require_subcommand(1);
  program.app.footer(kConventions);
  for (const Command& command : all_commands()) {
    CLI::App* const app = program.app.add_subcommand(command.name, command.summary);
    app->footer(command.examples);
    program.run[app] = command.add(*app);
    if (command.on_several_ranks) program.on_several_ranks.insert(app);
    app->add_flag("--verbose", program.verbose, "More about what is done, and about errors, on standard error");
  }
}

/// `tessera --help` says all of it: every subcommand's help after the overview.
void print_help(const Program& program) {
  const auto chosen = program.app.get_subcommands();
  if (!chosen.empty()) {
    write_standard_output(chosen.front()->help("tessera"));
    return;
  }
  std::string text = program.app.help();
  for (const CLI::App* app : program.app.get_subcommands({})) {
    text += fmt::format("\n{:-<100}\n{}", "", app->help("tessera"));
  }
  write_standard_output(text);
}

void print_error(const std::exception& error, bool verbose) {
  fmt::print(stderr, "{}error: {}\n", Ranks::prefix(), one_line(error));
  if (!verbose) return;
  fmt::print(stderr, "tessera {}: kind of error {}, exit code {}\n", TESSERA_VERSION, kind_name(error),
             static_cast<int>(exit_code(error)));
}

/// The parser's complaint as an error of ours.
tessera::base::InvalidArgument usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const auto chosen = app.get_subcommands();
  const std::string program = chosen.empty() ? "tessera" : "tessera " + chosen.front()->get_name();
  std::string text = error.what();
  if (chosen.empty() && argc > 1 && argv[1][0] != '-') {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
    text = fmt::format("one of {} is required; received \"{}\"", fmt::join(names, ", "), argv[1]);
  }
  return tessera::base::InvalidArgument(fmt::format("[{}] {}; see {} --help", program, text, program));
}

int run(Program& program, int argc, char** argv) {
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print_help(program);
    return EXIT_OK;
  } catch (const CLI::CallForVersion& version) {
    write_standard_output(std::string(version.what()) + "\n");
    return EXIT_OK;
  } catch (const CLI::ParseError& error) {
    throw usage_error(program.app, error, argc, argv);
  }
  if (program.verbose) spdlog::set_level(spdlog::level::debug);
  CLI::App* const command = program.app.get_subcommands().front();
  tessera::base::require<tessera::base::Unsupported>(
      !Ranks::several() || program.on_several_ranks.contains(command),
      "[ranks] generate and forward run on several ranks; received {}; start it without mpirun", command->get_name());
  try {
    return OpWatch::finish(program.run.at(command)());
  } catch (...) {
    OpWatch::finish(EXIT_NO);
    throw;
  }
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN); // a closed pipe is an error of the write, not a death
  Program program;
  try {
    spdlog::set_default_logger(spdlog::stderr_logger_mt("tessera"));
    spdlog::set_pattern("%v");
    add_commands(program);
    Ranks::join();
    return Ranks::leave(run(program, argc, argv));
  } catch (const std::exception& error) {
    Ranks::fail(one_line(error));
    print_error(error, program.verbose);
    return Ranks::leave(exit_code(error));
  } catch (...) {
    Ranks::fail("[tessera] an unknown error occurred");
    fmt::print(stderr, "error: [tessera] an unknown error occurred\n");
    return Ranks::leave(EXIT_NO);
  }
}
