#include "tessera/mpi/mpi_communicator.hpp"

#include "tessera/base/error.hpp"

namespace tessera::mpi {

std::shared_ptr<MpiCommunicator> MpiCommunicator::open(std::function<void(const std::string&)> /*on_lost*/) {
  throw base::Unsupported(
      "[mpi] a build with MPI is required for several ranks; this one was built without; run scripts/setup, which "
      "installs libopenmpi-dev, and build again");
}

} // namespace tessera::mpi
