// refused: atom: Linear: the input is not of the build's activation type
#include "tiny.hpp"

using namespace atom;
void feed(Context<Ref, bf16>& ctx, Tensor<float> x, Tensor<bf16> y) {
  const ops::Linear<quant::No> linear;
  linear(ctx, x, y);
}
