#include "atom/engine/gpu_device.hpp"

namespace atom::engine {

void device_lost(const char* what) noexcept {
  std::fprintf(stderr, "atom: %s; what the device holds is lost: start again, with --enforce-eager to see which step it was\n",
               what);
  std::abort();
}

}  // namespace atom::engine
