#pragma once

#include <filesystem>
#include <string>

#include "tessera/bringup/report_page/run_folder.hpp"
#include "tessera/bringup/report_page/section.hpp"

namespace tessera::bringup::report_page {

/// The sections that suit the kind of model, in order.
std::vector<Section> sections_of(const RunFolder& run);

/// The page as one HTML file without anything that it would have to load.
std::string to_html(const RunFolder& run, const std::vector<Section>& sections);

} // namespace tessera::bringup::report_page

namespace tessera::bringup {

/// Makes report.html and tables/ in the folder of a run from the files that lie there; the same files give the same
/// page. Throws IoError when the folder has no usable bringup.json, or cannot be written.
void write_report_page(const std::filesystem::path& folder);

} // namespace tessera::bringup
