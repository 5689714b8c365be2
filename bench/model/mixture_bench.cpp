// Decoding a mixture of experts on the Cpu backend: Qwen3-30B-A3B's dimensions in fewer layers, its vocabulary shrunk as they are,
// random bf16 weights. Prints how fast the weights that a step meets are read, against the machine's read bandwidth, for 1, 4 and
// 16 sequences, and prefill; with all experts in one launch (moe::Grouped) and one by one (moe::PerExpert). Interleaved runs,
// medians.
//
//   bench_mixture [--threads N] [--repetitions N] [--layers N]      1.3 GB of weights for each layer and method
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"
#include "atom/engine/executor.hpp"
#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/cpu.hpp"

#include "../ceilings.hpp"

namespace atom {

// Cpu, and the number of experts that steps have met.
struct CountingCpu : Cpu {
  static inline long met = 0;
};
template <class Op> struct impl<Op, CountingCpu> : impl<Op, Cpu> {};
template <> struct impl<kernels::sort_by_expert, CountingCpu> {
  static void run(Cpu::stream pool, const kernels::sort_by_expert::args& a) noexcept {
    run_on<kernels::sort_by_expert, Cpu>(pool, a);
    for (int e = 0; e < a.experts; ++e) CountingCpu::met += a.first[e] < a.first[e + 1];
  }
};

namespace engine {
template <> const DeviceKind& device_kind<CountingCpu>() { return device_kind<Cpu>(); }
}  // namespace engine

}  // namespace atom

namespace {

using namespace atom;
using namespace atom::engine;

struct qwen3_moe_build {
  static constexpr model::ModelSpec spec{
      .arch = model::Arch::qwen3_moe, .attn = {.head_dim = 128, .qk_norm = true}, .moe = model::any_moe};
  static constexpr model::Parallel parallel{};
  using backend = CountingCpu;
  using act = bf16;
  using kv = bf16;
  using quants = model::Quants<quant::No>;
};
template <model::Build M, class Method>
using Net =
    model::CausalLM<M, model::DecoderLayer<M, model::Qwen3Attention<M>, ops::FusedMoE<model::Router<M>, Method, moe::SoftmaxTopK>>>;
template <model::Build M> using Grouped = Net<M, moe::Grouped<model::Expert<M>>>;
template <model::Build M> using Each = Net<M, moe::PerExpert<model::Expert<M>>>;

constexpr int prompt = 512, published_layers = 48, published_vocab = 151936;

void write_config(const std::string& dir, int layers) {
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/config.json")
      << R"({"architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768,
    "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6,
    "rope_theta": 1000000, "hidden_act": "silu", "torch_dtype": "bfloat16", "tie_word_embeddings": false, "num_hidden_layers": )"
      << layers << R"(, "vocab_size": )" << published_vocab / published_layers * layers << "}";
}

double median(std::vector<double> v) {
  std::ranges::nth_element(v, v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2));
  return v[v.size() / 2];
}

/// One step of `seqs` sequences, of so many tokens each.
class Step {
 public:
  Step(int seqs, int tokens, int vocab) {
    for (int s = 0; s < seqs; ++s) {
      first_row_.push_back(s * tokens);
      context_.push_back(tokens);
      logit_rows_.push_back((s + 1) * tokens - 1);
      for (int t = 0; t < tokens; ++t) {
        tokens_.push_back(static_cast<int>((tokens_.size() + 1) * 2654435761u % static_cast<unsigned>(vocab)));
        positions_.push_back(t);
        slots_.push_back(s * pages(tokens) * kernels::page_tokens + t);
      }
      for (int p = 0; p < pages(tokens); ++p) table_.push_back(s * pages(tokens) + p);
    }
    first_row_.push_back(seqs * tokens);
    rows_ = seqs * tokens, seqs_ = seqs, stride_ = pages(tokens);
  }
  [[nodiscard]] Batch batch() const {
    Batch b;
    b.tokens = tokens_.data(), b.positions = positions_.data(), b.slots = slots_.data(), b.block_table = table_.data();
    b.first_row = first_row_.data(), b.context = context_.data(), b.logit_rows = logit_rows_.data();
    b.rows = rows_, b.seqs = b.logits = seqs_, b.table_stride = stride_;
    return b;
  }

 private:
  static int pages(int tokens) { return (tokens + kernels::page_tokens - 1) / kernels::page_tokens; }
  std::vector<int> tokens_, positions_, slots_, table_, first_row_, context_, logit_rows_;
  int rows_ = 0, seqs_ = 0, stride_ = 0;
};

struct Subject {
  const char* label;
  Executor executor;
  std::vector<std::vector<double>> seconds, gbytes;  // of each step

  Subject(const char* name, const ExecutorOptions& o, const Registry& builds, std::size_t steps)
      : label(name), executor(o, builds), seconds(steps), gbytes(steps) {}

  /// Bytes of weights that every step reads, whatever the router says. Where experts are one launch, its name tells it apart.
  double common(const Step& step) const {
    double bytes = 0;
    for (const auto& l : executor.plan(step.batch()).launches)
      if (std::string_view(l.name).starts_with("linear")) bytes += l.cost.bytes;
    return bytes;
  }
  void time(const Step& step, std::size_t which, double common_bytes) {
    const model::ModelSpec& s = executor.config().spec;
    CountingCpu::met = 0;
    const auto start = std::chrono::steady_clock::now();
    (void)executor.forward(step.batch());
    seconds[which].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    const double experts = static_cast<double>(CountingCpu::met) * 3 * s.moe.d_ff * s.d_model * sizeof(bf16);
    gbytes[which].push_back(1e-9 * (common_bytes + experts) / seconds[which].back());
  }
};

}  // namespace

int main(int argc, char** argv) try {
  int threads = default_threads(processors()), repetitions = 9, layers = 3;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::atoi(argv[++i]) : throw Error(a + ": needs a value"); };
    if (a == "--threads")
      threads = value();
    else if (a == "--repetitions")
      repetitions = value();
    else if (a == "--layers")
      layers = value();
    else
      throw Error(a + ": unknown; use --threads, --repetitions, --layers");
  }
  const std::string dir = (std::filesystem::temp_directory_path() / "atom-mixture-bench").string();
  write_config(dir, layers);
  Registry one, each;
  one.add(variant<qwen3_moe_build, Grouped>("one launch"));
  each.add(variant<qwen3_moe_build, Each>("expert by expert"));
  ExecutorOptions o;
  o.model_dir = dir;
  o.dummy = "random";
  o.threads = threads;
  o.max_seqs = o.max_logits = 16;
  o.context_tokens = 1024;
  const int vocab = published_vocab / published_layers * layers;
  const std::vector<Step> steps{{1, 1, vocab}, {4, 1, vocab}, {16, 1, vocab}, {1, prompt, vocab}};
  Subject subjects[] = {{"one launch", o, one, steps.size()}, {"expert by expert", o, each, steps.size()}};
  std::filesystem::remove_all(dir);

  ThreadPool pool(threads, cpus_for(threads));
  constexpr std::size_t bytes = std::size_t{1} << 30;
  const char* memory = bench::operands(bytes);
  std::vector<double> bandwidth;
  for (int r = -1; r < repetitions; ++r) {
    if (r == 0)  // warm
      for (Subject& s : subjects) s.seconds.assign(steps.size(), {}), s.gbytes = s.seconds;
    bandwidth.push_back(bench::read_bandwidth(pool, memory, bytes));
    for (std::size_t i = 0; i < steps.size(); ++i)
      for (int again = 0; again < (i + 1 < steps.size() ? 8 : 1); ++again)
        for (Subject& s : subjects) s.time(steps[i], i, subjects[0].common(steps[i]));
  }
  const double gbs = median(bandwidth);
  std::printf("%d threads, %d layers, DRAM read %.1f GB/s; medians of %d interleaved rounds\n%-18s %24s %24s %24s %14s\n", threads,
              layers, gbs, repetitions, "experts", "1 row", "4 rows", "16 rows", "prefill 512");
  for (const Subject& s : subjects) {
    std::printf("%-18s", s.label);
    for (std::size_t i = 0; i + 1 < steps.size(); ++i)
      std::printf(" %7.2f ms, %5.1f GB/s %3.0f %%", 1e3 * median(s.seconds[i]), median(s.gbytes[i]),
                  100 * median(s.gbytes[i]) / gbs);
    std::printf(" %10.0f t/s\n", prompt / median(s.seconds.back()));
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_mixture: %s\n", e.what());
  return 1;
}
