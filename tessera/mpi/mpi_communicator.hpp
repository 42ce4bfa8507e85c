#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tessera/runtime/communicator.hpp"

namespace tessera::mpi {

/// Whether the process was started as one of several by MPI's mpirun.
bool is_launched();

/// The ranks of an MPI job. One for a process.
class MpiCommunicator : public runtime::Communicator {
 public:
  /// Called by all ranks. `on_lost` is told, on another thread and once, when another rank dies, falls silent for 8 s
  /// or fails: what waits for it throws, but the host's own work does not end by itself. Throws DeviceError when MPI
  /// refuses, IoError when the ranks cannot reach each other, Unsupported where Tessera was built without MPI.
  static std::shared_ptr<MpiCommunicator> open(std::function<void(const std::string&)> on_lost = {});

  /// Tells the others that this rank ends with an error, so that they do not wait for it.
  virtual void fail(std::string_view reason) = 0;
};

} // namespace tessera::mpi
