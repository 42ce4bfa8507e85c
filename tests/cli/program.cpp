#include "tests/cli/program.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "tessera/base/file.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::test {
namespace {

/// In the child: connects standard streams to files and becomes the program.
[[noreturn]] void become_program(const std::filesystem::path& folder, std::vector<char*>& arguments) {
  const auto connect = [&](const char* name, int flags, int stream) {
    const int file = ::open((folder / name).c_str(), flags, 0600);
    if (file < 0 || ::dup2(file, stream) < 0) ::_exit(125);
  };
  connect("input", O_RDONLY, STDIN_FILENO);
  connect("output", O_WRONLY | O_CREAT, STDOUT_FILENO);
  connect("error", O_WRONLY | O_CREAT, STDERR_FILENO);
  ::execv(arguments.front(), arguments.data());
  ::_exit(126);
}

} // namespace

std::size_t ProgramRun::error_lines() const {
  return static_cast<std::size_t>(std::count(error.begin(), error.end(), '\n'));
}

ProgramRun run_tessera(const std::vector<std::string>& arguments, const std::string& input,
                       const std::function<void(int, const std::filesystem::path&)>& while_running) {
  std::vector<std::string> words{TESSERA_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_program(std::move(words), input, while_running);
}

ProgramRun run_program(std::vector<std::string> words, const std::string& input,
                       const std::function<void(int, const std::filesystem::path&)>& while_running) {
  const TemporaryFolder streams; // files, since pipes could fill up
  streams.write("input", input);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);

  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_program(streams.path(), pointers);
  if (while_running) while_running(child, streams.path() / "output");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
          .output = base::read_file(streams.path() / "output"),
          .error = base::read_file(streams.path() / "error")};
}

} // namespace tessera::test
