#include "tessera/bringup/tune/weight_traffic.hpp"

#include <algorithm>
#include <set>

namespace tessera::bringup {
namespace {

class WeightWatch : public runtime::QueueObserver {
 public:
  explicit WeightWatch(nn::DecoderModel& model) : device_(model.device()) {
    for (const tensor::Tensor& weight : model.weights()) addresses_.insert(weight.address());
    device_.add_observer(*this);
  }
  ~WeightWatch() override { device_.remove_observer(*this); }
  WeightWatch(const WeightWatch&) = delete;
  WeightWatch& operator=(const WeightWatch&) = delete;

  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun&) override {
    std::int64_t weights = 0;
    bool looked_up = false; // a table, of which the op reads rows
    for (const OperandRecord& operand : record.inputs) {
      if (operand.spec.memory_config.buffer_type != BufferType::DRAM) continue;
      if (!addresses_.contains(operand.address)) continue;
      looked_up = looked_up || operand.spec.layout == Layout::ROW_MAJOR;
      weights += operand.spec.size_bytes();
    }
    if (weights == 0) return;
    // What the op reads of its operands is less than all of them where it takes some of the experts.
    bytes_ += looked_up ? record.work.dram_read_bytes : std::min(weights, record.work.dram_read_bytes);
  }

  std::int64_t bytes() const { return bytes_; }

 private:
  runtime::MeshDevice& device_;
  std::set<std::int64_t> addresses_;
  std::int64_t bytes_ = 0;
};

} // namespace

std::int64_t weight_bytes_per_step(nn::DecoderModel& model, std::int64_t users) {
  const WeightWatch watch(model);
  model.decode_step(users);
  return watch.bytes();
}

} // namespace tessera::bringup
