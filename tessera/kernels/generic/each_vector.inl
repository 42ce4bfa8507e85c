// The loop over a row, vector by vector. Included inside an ISA's namespace.

namespace {

/// out[i] = body(i, loader), where the loader reads kLanes floats of any array at i, or the rest of them at the end.
template <typename Body>
inline void for_each_vector(std::int64_t count, float* out, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, body([i](const float* p) { return load(p + i); }));
  const std::int64_t left = count - i;
  if (left > 0) store_first(out + i, body([i, left](const float* p) { return load_first(p + i, left); }), left);
}

} // namespace
