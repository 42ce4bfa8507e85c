// Asking for memory ahead of its use. Included inside an ISA's namespace.

namespace {

/// A volatile statement, since GCC 12 takes a function that does nothing but __builtin_prefetch for one without effect,
/// and leaves its calls out.
inline void ask_for_line(const std::byte* p) {
  asm volatile("prefetcht0 %0" : : "m"(*p));
}

/// Spreads requests for some lines over a number of steps of other work: too many at once hold the work up, and memory
/// stands still while there are none.
class Asking {
 public:
  Asking(const Lines& lines, std::int64_t steps)
      : next_(lines.first), left_(lines.count), of_step_((lines.count + steps - 1) / steps) {}
  void step() {
    for (std::int64_t i = 0; i < of_step_ && left_ > 0; ++i, --left_, next_ += 64) ask_for_line(next_);
  }

 private:
  const std::byte* next_;
  std::int64_t left_;
  std::int64_t of_step_;
};

} // namespace
