#include "attention_decode.hpp"
#include "attention_vector.hpp"

namespace atom::cpu {

template struct Attention<Avx2, float, float>;
template struct Attention<Avx2, bf16, bf16>;
template struct Attention<Avx2, float, bf16>;

}  // namespace atom::cpu
