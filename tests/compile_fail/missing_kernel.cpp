// refused: atom: no kernel for this Op on this Backend
#include "tiny.hpp"

struct Nowhere {
  using stream = int;
  using comm = atom::ThreadComm;
};
struct build : tiny::good {
  using backend = Nowhere;
};
template void tiny::compose<build>();
