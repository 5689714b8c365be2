// A quantization scheme of your own: weights in 4 bits, two per byte, with one scale per output row; activations stay as they
// are. Nothing of atom is edited: a tag, a codec, a kernel, a build. The engine then quantises a plain checkpoint at load.
//   custom_scheme <model dir, Qwen3 with head_dim 128> <token ids...>                       (docs/adding_a_scheme.md)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"
#include "atom/model/qwen3.hpp"
#include "atom/ops/ref.hpp"

namespace my {

// The tag: what is stored, and its name. `act = void`: activations are not quantised.
struct Nf4 {
  using weight = atom::int8;  // a code, 0 to 15; the kernel's layout packs two into a byte
  using act = void;
  using scale = float;
  static constexpr atom::Name name() { return {"my::Nf4"}; }
};

// Sixteen levels where a normal distribution has its weights: quantiles of N(0, 1) scaled to [-1, 1], zero among them.
inline constexpr float levels[16] = {-1.0f,   -0.6962f, -0.5251f, -0.3949f, -0.2844f, -0.1848f, -0.0911f, 0.0f,
                                     0.0796f, 0.1609f,  0.2461f,  0.3379f,  0.4407f,  0.5626f,  0.7230f,  1.0f};

}  // namespace my

// The codec: how one row becomes a scale and codes. The loader, tests and kernels share it.
template <> struct atom::quant::codec<my::Nf4> {
  static float scale_of(const float* x, int n) {  // x: (n)
    float top = 0;
    for (int i = 0; i < n; ++i) top = std::fmax(top, std::fabs(x[i]));
    return top;
  }
  static int8 encode(float x, float scale) {
    const float v = scale > 0 ? x / scale : 0.0f;
    const auto* nearest =
        std::min_element(my::levels, my::levels + 16, [&](float a, float b) { return std::fabs(a - v) < std::fabs(b - v); });
    return static_cast<int8>(nearest - my::levels);
  }
};

// The kernel, for every activation and output type. Its layout says where the loader puts the codes of a row.
template <class T, class Y> struct atom::impl<atom::kernels::linear<my::Nf4, T, Y>, atom::Ref> {
  static int row_bytes(int in) { return (in + 1) / 2; }

  static void run(Ref::stream, const typename kernels::linear<my::Nf4, T, Y>::args& a) noexcept {
    for (int r = 0; r < a.rows; ++r)
      for (int o = 0; o < a.out; ++o) {
        const T* x = a.x + std::ptrdiff_t{r} * a.ldx;
        const int8* w = a.w + std::ptrdiff_t{o} * row_bytes(a.in);
        float sum = 0;
        for (int k = 0; k < a.in; ++k) sum += static_cast<float>(x[k]) * my::levels[w[k / 2] >> (k % 2 * 4) & 15];
        a.y[std::ptrdiff_t{r} * a.ldy + o] = Y(sum * a.w_scale[o] + (a.bias ? a.bias[o] : 0.0f));
      }
  }
  static const quant::WeightLayout& layout() {
    static constexpr quant::WeightLayout pairs{
        [](int out, int in) { return static_cast<std::size_t>(out) * static_cast<std::size_t>(row_bytes(in)); },
        [](void* target, int, int in, const quant::WeightRows& rows) {
          for (int r = 0; r < rows.count; ++r) {
            const int8* from = static_cast<const int8*>(rows.data) + r * rows.stride;
            int8* to = static_cast<int8*>(target) + std::ptrdiff_t{rows.first + r} * row_bytes(in);
            for (int k = 0; k < in; ++k) to[k / 2] = static_cast<int8>(to[k / 2] | from[k] << (k % 2 * 4));
          }
        },
        1};
    return pairs;
  }
};

template <> inline constexpr std::string_view atom::engine::quant_name<my::Nf4> = "nf4";

// The build: Qwen3 with this scheme in attention and MLP, the head in bf16.
struct qwen3_nf4 {
  static constexpr atom::model::ModelSpec spec{.arch = atom::model::Arch::qwen3, .attn = {.head_dim = 128, .qk_norm = true}};
  static constexpr atom::model::Parallel parallel{.tp = 1};
  using backend = atom::Ref;
  using act = float;
  using kv = float;
  using quants = atom::model::Quants<my::Nf4>;
};

namespace {

using namespace atom::engine;

std::vector<float> logits_of(const char* model_dir, const char* quant, const Registry& builds, const std::vector<int>& tokens) {
  ExecutorOptions options;
  options.model_dir = model_dir;
  options.quant = quant;
  options.backend = "ref";
  options.act = atom::DType::f32;
  options.context_tokens = 64;
  Executor executor(options, builds);
  const auto memory = executor.memory();
  std::printf("%-5s %8zu bytes of weights (%s)\n", quant, memory.weights + memory.weights_in_file, executor.build().name.c_str());
  const float* logits = Session(executor).feed(tokens);
  return {logits, logits + executor.config().spec.vocab};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: custom_scheme <model dir> <token ids...>\n");
    return 2;
  }
  std::vector<int> tokens;
  for (int i = 2; i < argc; ++i) tokens.push_back(std::atoi(argv[i]));

  Registry mine;
  mine.add(variant<qwen3_nf4, atom::model::Qwen3>("qwen3_nf4"));
  const auto exact = logits_of(argv[1], "none", universal_builds(), tokens), ours = logits_of(argv[1], "nf4", mine, tokens);

  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += double{ours[i] - exact[i]} * double{ours[i] - exact[i]};
    size += double{exact[i]} * double{exact[i]};
  }
  const double relative = std::sqrt(error / size);
  std::printf("relative error of the logits: %.3f\n", relative);
  return relative > 0.01 && relative < 0.5 ? 0 : 1;  // 4 bits cost something, and not everything
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
