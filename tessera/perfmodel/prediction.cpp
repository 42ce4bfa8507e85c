#include "tessera/perfmodel/prediction.hpp"

namespace tessera::perfmodel {

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::LAUNCH:
      return "launch";
    case Bound::MATRIX_UNIT:
      return "matrix unit";
    case Bound::UNPACKER:
      return "unpacker";
    case Bound::VECTOR_UNIT:
      return "vector unit";
    case Bound::DRAM:
      return "DRAM";
    case Bound::NOC:
      return "NoC";
    case Bound::ETHERNET:
      return "Ethernet";
    case Bound::HOST:
      return "host";
  }
  return "";
}

} // namespace tessera::perfmodel
