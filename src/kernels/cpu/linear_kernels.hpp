#pragma once
// What the portable driver (linear.cpp) and the per-ISA translation units of linear know of each other.
// The latter are compiled for instructions the machine may lack, so they must emit no function that another unit could share:
// everything in them has internal linkage or a name of its own level, and they use neither std:: nor atom's inline functions.
#include <cstddef>
#include <cstdint>

namespace atom::cpu {

inline constexpr int panel_rows = 32;                    // output rows of a panel
inline constexpr int block_bytes = 64;                   // of `in`, per pair of tiles
inline constexpr int tile_bytes = 1024;                  // [16 dwords][16 rows]
inline constexpr int block_pair_bytes = 2 * tile_bytes;  // the two tiles of a block
inline constexpr int row_sum_bytes = 4 * panel_rows;     // at the end of a panel: int8's sums, else nothing
inline constexpr int max_pass_rows = 512;                // activation rows of one pass over the weights
inline constexpr int acc_row_bytes = 4 * panel_rows;
inline constexpr int acc_bytes = max_pass_rows * acc_row_bytes;
inline constexpr int expanded_bytes = 16 * 1024;  // weights expanded to float: L1-sized
inline constexpr int packed_bytes = 5 << 18;      // packed activations that stay in L2 while panels go by
inline constexpr int thread_bytes = acc_bytes + expanded_bytes + packed_bytes;  // scratch private to a thread

/// One pass: `rows` activation rows, packed in `a`, times panels of `w`; of `in`, blocks [first_block, last_block).
struct LinearJob {
  const void* x;
  const float* x_scale;
  const void* w;
  const float* w_scale;
  const float* bias;
  void* y;
  void* a;           // packed activations
  char* sums;        // of panels from first_panel on, kept between the slices of `in`; null: one slice is all
  const char* then;  // (then_panels) panels that this thread probably reads after the last of a call: fetched at its end
  std::ptrdiff_t ldx, ldy, panel_bytes;
  int rows, out, in;
  int panels, then_panels;  // of w; behind `then`
  int w_blocks, a_blocks;   // 64-byte blocks of a weight row and of a packed activation row, the slice's
  int widening;             // a_blocks per w_block
  int first_block, last_block, first_panel;
  bool bf16_y;    // y is bf16, not float
  bool stream_y;  // y is too large to stay in cache and its rows begin on cache lines: write past the cache
};

struct LinearKernel {
  void (*pack)(const LinearJob&, int first_row, int last_row);           // x to a
  void (*panels)(const LinearJob&, int first, int last, char* scratch);  // panels [first, last)
  int widening;  // packed activation bytes per weight byte: 2 when 16-bit weights meet floats
};

// Packed activations, row-major: an odd number of cache lines, so that rows do not share a cache set.
static inline std::ptrdiff_t a_row_bytes(int a_blocks) { return static_cast<std::ptrdiff_t>(a_blocks | 1) * block_bytes; }

/// Copies rows of a weight (bytes, row stride in bytes) into their panels.
void put_panels(char* target, std::ptrdiff_t panel_bytes, const char* rows, std::ptrdiff_t stride, std::ptrdiff_t row_bytes,
                int first, int count);
/// Adds the row sums at the end of int8 panels, for rows [first, first + count).
void put_row_sums(char* target, std::ptrdiff_t panel_bytes, const std::int8_t* rows, std::ptrdiff_t stride, int in, int first,
                  int count);

namespace avx2 {
extern const LinearKernel f32_f32, f32_bf16, f32_fp16, bf16_f32, bf16_bf16, bf16_fp16, int8_int8;  // activations, weights
}  // namespace avx2
namespace avx512 {
extern const LinearKernel f32_f32, f32_bf16, f32_fp16, bf16_f32, bf16_bf16, bf16_fp16, int8_int8;
}  // namespace avx512
namespace avx512_bf16 {
extern const LinearKernel bf16_bf16, int8_int8;
}
namespace amx {
extern const LinearKernel bf16_bf16, int8_int8;
}

}  // namespace atom::cpu
