#include <cstdlib>
#include <string_view>

#include "tessera/mpi/mpi_communicator.hpp"

namespace tessera::mpi {

bool is_launched() {
  // Open MPI's own variable, and those of launchers that speak PMI (MPICH's mpirun, Slurm).
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && std::string_view(value) != "1") return true;
  }
  return false;
}

} // namespace tessera::mpi
