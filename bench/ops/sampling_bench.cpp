// sample on Cpu over Qwen3's vocabulary: peaked logits (sigma 3) as of a trained model, flat ones (sigma 0.3) as of a random one.
#include "atom/ops/sampling_cpu.hpp"

#include "cpu_bench.hpp"

namespace atom::bench {
namespace {

constexpr int vocab = 151936;

void add_sample(const std::string& what, int rows, float sigma, const kernels::SampleParams& p) {
  add<kernels::sample>(what + "/rows:" + std::to_string(rows), [=](benchmark::State& state) {
    const auto n = static_cast<std::size_t>(rows) * vocab;
    const float* noise = filled<float>();
    std::vector<float> logits(noise, noise + n), sorted(n);
    for (auto& x : logits) x *= sigma;
    std::vector<int> order(n), tokens(static_cast<std::size_t>(rows));
    std::vector<kernels::SampleParams> params(static_cast<std::size_t>(rows), p);
    const kernels::sample::args a{logits.data(), params.data(), sorted.data(), order.data(), tokens.data(), rows, vocab, vocab};
    for (auto _ : state) {
      for (auto& row : params) ++row.counter;
      run_on<kernels::sample, Cpu>(&machine().pool, a);
    }
    report(state, kernels::sample::cost(a));
  });
}

const bool added = [] {
  for (int rows : {1, 32}) {
    add_sample("greedy", rows, 3, {.temperature = 0});
    add_sample("top_k:50,top_p:0.95", rows, 3, {.temperature = 0.7f, .top_k = 50, .top_p = 0.95f});
    add_sample("top_p:0.95", rows, 3, {.temperature = 1, .top_p = 0.95f});
    add_sample("plain", rows, 3, {.temperature = 1});
    add_sample("plain,flat", rows, 0.3f, {.temperature = 1});
  }
  return true;
}();

}  // namespace
}  // namespace atom::bench
