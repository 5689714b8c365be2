// A kernel of your own for a key that exists, on a backend of your own. No file of atom is edited.   (docs/adding_a_kernel.md)
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "atom/ops/ref.hpp"

namespace my {

// A backend is a tag: what a kernel call carries (`stream`) and what ranks talk through (`comm`).
struct Blocked {
  using stream = atom::Ref::stream;
  using comm = atom::ThreadComm;
};

}  // namespace my

// Start with everything borrowed from the reference ...
template <class Op>
requires atom::HasKernel<Op, atom::Ref>
struct atom::impl<Op, my::Blocked> : atom::impl<Op, atom::Ref> {
};

// ... and replace kernels one by one. This one computes four outputs at a time, so that x is read once for four rows of w.
template <> struct atom::impl<atom::kernels::linear<atom::quant::NoAs<float>, float>, my::Blocked> {
  static void run(my::Blocked::stream, const atom::kernels::linear<atom::quant::NoAs<float>, float>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r) {
      const float* x = a.x + std::ptrdiff_t{r} * a.ldx;
      for (int o = 0; o < a.out; o += 4) {
        const int n = a.out - o < 4 ? a.out - o : 4;
        float sum[4] = {};
        for (int k = 0; k < a.in; ++k)
          for (int i = 0; i < n; ++i) sum[i] += x[k] * a.w[(std::ptrdiff_t{o} + i) * a.in + k];
        for (int i = 0; i < n; ++i) a.y[std::ptrdiff_t{r} * a.ldy + o + i] = sum[i] + (a.bias ? a.bias[o + i] : 0.0f);
      }
    }
  }
};

int main() {
  using op = atom::kernels::linear<atom::quant::NoAs<float>, float>;
  static_assert(atom::HasKernel<op, my::Blocked> && atom::HasKernel<atom::kernels::sample, my::Blocked>);

  constexpr int rows = 3, out = 101, in = 260;  // ragged on purpose
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * in), w(out * in), bias(out), want(rows * out), got(rows * out);
  for (auto* v : {&x, &w, &bias})
    for (float& f : *v) f = normal(random);

  // One door for both: the reference is the specification.
  op::args a{x.data(), nullptr, w.data(), nullptr, bias.data(), want.data(), rows, out, in, in, out};
  atom::run_on<op, atom::Ref>({}, a);
  a.y = got.data();
  atom::run_on<op, my::Blocked>({}, a);

  float worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::fmax(worst, std::fabs(got[i] - want[i]));
  const atom::Cost cost = op::cost(a);
  std::printf("%.0f flops, %.0f bytes; largest difference from the reference %.2g\n", cost.flops, cost.bytes, double{worst});
  return worst < 1e-4f ? 0 : 1;  // |y| is about 16; 260 sums in float
}
