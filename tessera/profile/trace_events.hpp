#pragma once

#include <filesystem>
#include <iosfwd>
#include <string_view>

#include "tessera/profile/profile.hpp"

namespace tessera::profile {

/// Writes a profile as Chrome trace-event JSON, which Perfetto and chrome://tracing open: process 1, "host (measured)",
/// a thread for each track, a complete event for each slice, times in microseconds. The origin stands in "otherData".
/// Process 2 is kept for a card's predicted times.
void write_trace_events(const Profile& profile, std::ostream& out);
/// Into a file, atomically. Throws IoError.
void write_trace_events(const Profile& profile, const std::filesystem::path& path);

/// The inverse. Events of other processes and kinds are passed over. Throws IoError naming `where` and what is wrong:
/// bad syntax, an event without a time, a track that holds events of two sorts.
Profile parse_trace_events(std::string_view text, std::string_view where);
Profile read_trace_events(const std::filesystem::path& path);

} // namespace tessera::profile
