#include "attention_decode.hpp"
#include "attention_vector.hpp"

namespace atom::cpu {

template struct Attention<Avx512, float, float>;
template struct Attention<Avx512, bf16, bf16>;
template struct Attention<Avx512, float, bf16>;
template struct Attention<Avx512, bf16, quant::PerToken<int8>>;
template struct Attention<Avx512, bf16, quant::PerToken<fp8_e4m3>>;

}  // namespace atom::cpu
