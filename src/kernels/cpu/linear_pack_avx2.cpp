// Weights into panels (see include/atom/ops/linear_cpu.hpp): a transposition of dwords, bound by memory; AVX2 suffices.
#include <immintrin.h>

#include "linear_kernels.hpp"

namespace atom::cpu {
namespace {

// 8 rows of 8 dwords from `rows` (row stride in bytes) become out[d][row]: 8 columns, 64 bytes apart.
void transpose(const char* rows, std::ptrdiff_t stride, char* out) {
  __m256i r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + i * stride));
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; ++k) {
      r[i + 2 * k] = _mm256_unpacklo_epi64(s[i + k], s[i + k + 2]);
      r[i + 2 * k + 1] = _mm256_unpackhi_epi64(s[i + k], s[i + k + 2]);
    }
  for (int i = 0; i < 4; ++i) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + i * 64), _mm256_permute2x128_si256(r[i], r[i + 4], 0x20));
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + (i + 4) * 64), _mm256_permute2x128_si256(r[i], r[i + 4], 0x31));
  }
}

void put_scalar(char* panel, const char* row, int row_in_panel, std::ptrdiff_t begin, std::ptrdiff_t end) {
  for (std::ptrdiff_t b = begin; b < end; ++b)
    panel[b / block_bytes * block_pair_bytes + row_in_panel / 16 * tile_bytes + b % block_bytes / 4 * 64 + row_in_panel % 16 * 4 +
          b % 4] = row[b];
}

}  // namespace

void put_panels(char* target, std::ptrdiff_t panel_bytes, const char* rows, std::ptrdiff_t stride, std::ptrdiff_t row_bytes,
                int first, int count) {
  const std::ptrdiff_t whole = row_bytes / 32 * 32;
  for (int r = 0; r < count;) {
    const int row = (first + r) % panel_rows;
    char* const panel = target + (first + r) / panel_rows * panel_bytes;
    const char* from = rows + r * stride;
    if (row % 8 == 0 && count - r >= 8) {
      for (std::ptrdiff_t b = 0; b < whole; b += 32)
        transpose(from + b, stride,
                  panel + b / block_bytes * block_pair_bytes + row / 16 * tile_bytes + b % block_bytes * 16 + row % 16 * 4);
      for (int i = 0; i < 8; ++i) put_scalar(panel, from + i * stride, row + i, whole, row_bytes);
      r += 8;
    } else {
      put_scalar(panel, from, row, 0, row_bytes);
      ++r;
    }
  }
}

void put_row_sums(char* target, std::ptrdiff_t panel_bytes, const std::int8_t* rows, std::ptrdiff_t stride, int in, int first,
                  int count) {
  for (int r = 0; r < count; ++r) {
    const std::int8_t* row = rows + r * stride;
    std::int32_t sum = 0;
    for (int i = 0; i < in; ++i) sum += row[i];
    char* const panel_end = target + ((first + r) / panel_rows + 1) * panel_bytes;
    __builtin_memcpy(panel_end - row_sum_bytes + (first + r) % panel_rows * 4, &sum, 4);
  }
}

}  // namespace atom::cpu
