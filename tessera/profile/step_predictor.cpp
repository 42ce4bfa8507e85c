#include "tessera/profile/step_predictor.hpp"

namespace tessera::profile {

StepPredictor::StepPredictor(runtime::MeshDevice& device, const perfmodel::Conditions& conditions,
                             const perfmodel::Constants& constants)
    : device_(device), step_(device.board(), conditions, constants) {
  device_.add_observer(*this);
}

StepPredictor::~StepPredictor() {
  device_.remove_observer(*this);
}

void StepPredictor::after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun& run) {
  if (run.kind == runtime::ProgramKind::OP) step_.add(record);
}

} // namespace tessera::profile
