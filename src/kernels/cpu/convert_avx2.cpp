#include "convert_rows.hpp"

namespace atom::cpu {

template struct Convert<Avx2, bf16, float>;
template struct Convert<Avx2, fp16, float>;
template struct Convert<Avx2, float, bf16>;
template struct Convert<Avx2, fp16, bf16>;

template struct Quantize<Avx2, bf16, int8>;
template struct Quantize<Avx2, bf16, fp8_e4m3>;

}  // namespace atom::cpu
