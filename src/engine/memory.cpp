#include "atom/engine/memory.hpp"

#include <string>
#include <sys/mman.h>

#include "atom/core/error.hpp"

namespace atom::engine {

Block::Block(std::size_t bytes, const char* what) {
  if (bytes == 0) return;
  const std::size_t whole = rounded(bytes);
  void* p = whole < bytes ? MAP_FAILED : mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    throw Error(std::string(what) + ": the system refused " + std::to_string(bytes >> 20) +
                " MiB; free memory, or lower the context, the batch or the precision");
  madvise(p, whole, MADV_HUGEPAGE);  // a hint; without it everything works, slower
  data_ = static_cast<std::byte*>(p);
  bytes_ = whole;
}

Block::~Block() {
  if (data_) munmap(data_, bytes_);
}

}  // namespace atom::engine
