#pragma once
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"  // both sides are replaced here, by malloc and free
#endif
// Replaces operator new for the whole program by one that counts. Include it in exactly one file of a test.
#include <atomic>
#include <cstdlib>
#include <new>

namespace atom::test {
inline std::atomic<long> news{0};  // allocations so far, on all threads

inline void* counted_or_null(std::size_t n) noexcept {
  news.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(n ? n : 1);
}
inline void* counted(std::size_t n) {
  if (void* p = counted_or_null(n)) return p;
  throw std::bad_alloc();
}
}  // namespace atom::test

void* operator new(std::size_t n) { return atom::test::counted(n); }
void* operator new[](std::size_t n) { return atom::test::counted(n); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return atom::test::counted_or_null(n); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return atom::test::counted_or_null(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
