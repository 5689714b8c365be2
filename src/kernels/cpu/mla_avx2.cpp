#include "mla_rows.hpp"

namespace atom::cpu {

template struct LatentHeads<Avx2, float, float>;
template struct LatentHeads<Avx2, float, bf16>;
template struct LatentHeads<Avx2, float, fp16>;
template struct LatentHeads<Avx2, float, int8>;
template struct LatentHeads<Avx2, bf16, float>;
template struct LatentHeads<Avx2, bf16, bf16>;
template struct LatentHeads<Avx2, bf16, fp16>;
template struct LatentHeads<Avx2, bf16, int8>;
template struct LatentRows<Avx2, float>;
template struct LatentRows<Avx2, bf16>;

}  // namespace atom::cpu
