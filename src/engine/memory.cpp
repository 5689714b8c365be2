#include "atom/engine/memory.hpp"

#include <string>
#include <sys/mman.h>

#include "atom/core/error.hpp"

namespace atom::engine {

Block::Block(std::size_t bytes, const char* what) {
  if (bytes == 0) return;
  constexpr std::size_t huge = std::size_t{2} << 20;
  const std::size_t rounded = (bytes + huge - 1) / huge * huge;
  void* p = rounded < bytes ? MAP_FAILED : mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    throw Error(std::string(what) + ": the system refused " + std::to_string(bytes >> 20) +
                " MiB; free memory, or lower the context, the batch or the precision");
  madvise(p, rounded, MADV_HUGEPAGE);  // a hint; without it everything works, slower
  data_ = static_cast<std::byte*>(p);
  bytes_ = rounded;
}

Block::~Block() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace atom::engine
