#include "activation_rows.hpp"

namespace atom::cpu {

template struct Activations<Avx512, float>;
template struct Activations<Avx512, bf16>;
template void Activations<Avx512, float>::gate_mul<activation::Silu>(const GateRows<float>&, int, int);
template void Activations<Avx512, bf16>::gate_mul<activation::Silu>(const GateRows<bf16>&, int, int);
template void Activations<Avx512, float>::gate_mul<activation::ClampedSwiglu>(const GateRows<float>&, int, int);
template void Activations<Avx512, bf16>::gate_mul<activation::ClampedSwiglu>(const GateRows<bf16>&, int, int);

}  // namespace atom::cpu
