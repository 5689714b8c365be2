#include <cstring>

#include "atom/ops/embedding_cpu.hpp"

#include "cpu/convert.hpp"
#include "cpu/dispatch.hpp"

namespace atom {
namespace {

template <class W, class T> auto copier() {
  if constexpr (std::same_as<W, T>)
    return +[](const T* from, T* to, int n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T)); };
  else
    return cpu::in_force(cpu::Convert<cpu::Avx2, W, T>::row, cpu::Convert<cpu::Avx512, W, T>::row);
}

}  // namespace

template <cpu::Table W, cpu::Activation T>
void impl<kernels::embed<W, T>, Cpu>::run(Cpu::stream pool, const typename kernels::embed<W, T>::args& a) noexcept {
  const auto copy = copier<W, T>();
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const int row = a.tokens[r] - a.first;
      T* y = a.y + static_cast<std::ptrdiff_t>(r) * a.cols;
      if (row >= 0 && row < a.vocab)
        copy(a.table + static_cast<std::ptrdiff_t>(row) * a.cols, y, a.cols);
      else
        std::memset(static_cast<void*>(y), 0, static_cast<std::size_t>(a.cols) * sizeof(T));
    }
  });
}

template <cpu::Activation T>
void impl<kernels::gather_rows<T>, Cpu>::run(Cpu::stream pool, const typename kernels::gather_rows<T>::args& a) noexcept {
  const auto copy = copier<T, T>();
  cpu::for_rows(pool, a.rows, a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r)
      copy(a.x + static_cast<std::ptrdiff_t>(a.index[r]) * a.ldx, a.y + static_cast<std::ptrdiff_t>(r) * a.cols, a.cols);
  });
}

template <cpu::Activation T>
void impl<kernels::join_rows<T>, Cpu>::run(Cpu::stream pool, const typename kernels::join_rows<T>::args& a) noexcept {
  const std::size_t half = static_cast<std::size_t>(a.cols) * sizeof(T);
  cpu::for_rows(pool, a.rows, 2 * a.cols, [&](int first, int count) {
    for (std::ptrdiff_t r = first; r < first + count; ++r) {
      std::memcpy(a.y + 2 * r * a.cols, a.left + r * a.cols, half);
      std::memcpy(a.y + (2 * r + 1) * a.cols, a.right + r * a.cols, half);
    }
  });
}

template struct impl<kernels::embed<float, float>, Cpu>;
template struct impl<kernels::embed<bf16, float>, Cpu>;
template struct impl<kernels::embed<fp16, float>, Cpu>;
template struct impl<kernels::embed<float, bf16>, Cpu>;
template struct impl<kernels::embed<bf16, bf16>, Cpu>;
template struct impl<kernels::embed<fp16, bf16>, Cpu>;
template struct impl<kernels::gather_rows<float>, Cpu>;
template struct impl<kernels::gather_rows<bf16>, Cpu>;
template struct impl<kernels::join_rows<float>, Cpu>;
template struct impl<kernels::join_rows<bf16>, Cpu>;

}  // namespace atom
