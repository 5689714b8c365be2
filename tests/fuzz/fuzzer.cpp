// libFuzzer's door to one target, which the build names (see CMakeLists.txt).
#include <cstddef>
#include <cstdint>

#include "targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  atom::fuzz::ATOM_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
