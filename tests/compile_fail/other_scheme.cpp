// refused: atom: the norm quantised this activation for a different scheme than the Linear expects
#include "tiny.hpp"

using namespace atom;
struct Mine : quant::PerToken<int8> {};

void feed(Context<Ref, bf16>& ctx, const quant::QTensor<Mine>& x, Tensor<bf16> y) {
  const ops::Linear<quant::PerToken<int8>> linear;
  linear(ctx, x, y);
}
