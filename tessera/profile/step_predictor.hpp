#pragma once

#include "tessera/perfmodel/step.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/runtime/observer.hpp"

namespace tessera::profile {

/// Predicts what the ops that a device's queues run would take on the card, while it lives.
class StepPredictor : public runtime::QueueObserver {
 public:
  StepPredictor(runtime::MeshDevice& device, const perfmodel::Conditions& conditions,
                const perfmodel::Constants& constants);
  ~StepPredictor() override;
  StepPredictor(const StepPredictor&) = delete;
  StepPredictor& operator=(const StepPredictor&) = delete;

  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun& run) override;
  const perfmodel::StepTime& step() const { return step_; }

 private:
  runtime::MeshDevice& device_;
  perfmodel::StepTime step_;
};

} // namespace tessera::profile
