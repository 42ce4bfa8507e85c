#include <fmt/format.h>

#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/bringup/report_page/page.hpp"

namespace tessera::cli {

Command report_command() {
  return {.name = "report",
          .summary = "Makes a bring-up's page again, report.html, from the files in its folder",
          .examples =
              "bringup writes the page itself; this is for a folder whose files came from elsewhere or from another "
              "version.\nThe page needs nothing but itself; its tables lie beside it as CSV and JSON. docs/report.md "
              "explains it.\n\n"
              "Examples:\n"
              "  tessera report build/demo-report",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto folder = std::make_shared<std::string>();
            app.add_option("RUN_DIR", *folder, "The folder that bringup --report has written")->required();
            return [folder] {
              bringup::write_report_page(*folder);
              write_note(fmt::format("the page lies in {}/report.html", *folder));
              return static_cast<int>(EXIT_OK);
            };
          }};
}

} // namespace tessera::cli
