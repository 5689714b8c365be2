// refused: atom: Linear: input width differs from the weight's In
#include "tiny.hpp"

using namespace atom;
void feed(Context<Ref, bf16>& ctx, Tensor<bf16, dynamic, 64> x, Tensor<bf16> y) {
  const ops::Linear<quant::No, TPDim::none, 32, 128> linear;
  linear(ctx, x, y);
}
