// A whole model on the Cpu backend: Qwen3-0.6B's dimensions, random bf16 weights. Prints decode against the machine's read
// bandwidth, prefill, and prefill of the same build with Eigen's matrix products; interleaved runs, medians.
//
//   model_bench [--threads N] [--repetitions N] [--dir DIR] [--json]
//
// DIR (default: a temporary directory, removed again) receives a 1.2 GB checkpoint on first use.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <omp.h>
#include <random>
#include <string>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"
#include "atom/engine/safetensors.hpp"
#include "atom/engine/session.hpp"
#include "atom/model/qwen3.hpp"

#include "../ceilings.hpp"
#include "eigen_backend.hpp"

namespace {

using namespace atom;
using namespace atom::engine;

// The named builds: a specialised one, and the same on the rival's backend.
struct qwen3_0_6b {
  static constexpr model::ModelSpec spec{.arch = model::Arch::qwen3,
                                         .d_model = 1024,
                                         .d_ff = 3072,
                                         .vocab = 151936,
                                         .layers = 28,
                                         .attn = {.heads = 16, .kv_heads = 8, .head_dim = 128, .qk_norm = true},
                                         .tied = true};
  static constexpr model::Parallel parallel{.tp = 1};
  using backend = Cpu;
  using act = bf16;
  using kv = bf16;
  using quants = model::Quants<quant::No>;
};
struct qwen3_0_6b_int8 : qwen3_0_6b {
  using quants = model::Quants<quant::PerToken<int8>>;
};
struct qwen3_0_6b_eigen : qwen3_0_6b {
  using backend = EigenCpu;
};

void write_checkpoint(const std::string& dir) {
  std::filesystem::create_directories(dir);
  constexpr auto& s = qwen3_0_6b::spec;
  std::ofstream(dir + "/config.json") << R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000, "hidden_act": "silu", "torch_dtype": "bfloat16",
    "tie_word_embeddings": true})";
  std::vector<bf16> noise(std::size_t{1} << 22);  // every tensor is a run of these; the values do not matter, their spread does
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0, 0.02f);
  for (auto& x : noise) x = bf16(normal(generator));
  constexpr std::size_t offset = 64, tensors_at_most = 512;  // each tensor begins a little later in the noise
  std::vector<bf16> all(static_cast<std::size_t>(s.vocab) * static_cast<std::size_t>(s.d_model) + offset * tensors_at_most);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = noise[(i * 7 + i / noise.size() * 131) % noise.size()];
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, std::int64_t rows, std::int64_t cols) {
    NamedTensor t;
    t.name = name;
    t.dtype = DType::bf16;
    t.rank = cols ? 2 : 1;
    t.dims = {rows, cols};
    t.bytes = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols ? cols : 1) * 2;
    t.data = reinterpret_cast<const std::byte*>(all.data() + tensors.size() * offset);
    tensors.push_back(std::move(t));
  };
  add("model.embed_tokens.weight", s.vocab, s.d_model);
  const int q = s.attn.heads * s.attn.head_dim, kv = s.attn.kv_heads * s.attn.head_dim;
  for (int l = 0; l < s.layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    for (const char* n : {"input_layernorm", "post_attention_layernorm"}) add(p + n + ".weight", s.d_model, 0);
    for (const char* n : {"q_norm", "k_norm"}) add(p + "self_attn." + n + ".weight", s.attn.head_dim, 0);
    add(p + "self_attn.q_proj.weight", q, s.d_model);
    add(p + "self_attn.k_proj.weight", kv, s.d_model);
    add(p + "self_attn.v_proj.weight", kv, s.d_model);
    add(p + "self_attn.o_proj.weight", s.d_model, q);
    add(p + "mlp.gate_proj.weight", s.d_ff, s.d_model);
    add(p + "mlp.up_proj.weight", s.d_ff, s.d_model);
    add(p + "mlp.down_proj.weight", s.d_model, s.d_ff);
  }
  add("model.norm.weight", s.d_model, 0);
  write_safetensors(dir + "/model.safetensors", tensors);
}

double median(std::vector<double> v) {
  std::ranges::sort(v);
  return v[v.size() / 2];
}

struct Subject {
  const char* label;
  Executor executor;
  Session session{executor};
  double weight_bytes;  // read per decode step
  std::vector<double> prefill{}, decode{}, depth{};

  Subject(const char* name, const ExecutorOptions& o, const Registry& builds) : label(name), executor(o, builds) {
    Batch b;
    b.rows = b.seqs = b.logits = 1;
    weight_bytes = 0;
    for (const auto& l : executor.plan(b).launches)
      if (std::string_view(l.name).starts_with("linear")) weight_bytes += l.cost.bytes;
  }

  // One round: tokens per second of a 512-token prompt, of decoding after a short one, and after a long one.
  void round(int steps) {
    std::vector<int> prompt(512);
    for (std::size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int>(i * 2654435761u % 151936);
    const auto timed = [&](auto&& work) {
      const auto start = std::chrono::steady_clock::now();
      work();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    session.truncate(0);
    prefill.push_back(512 / timed([&] { session.feed(prompt); }));
    const auto rate = [&] {  // of the median step: others take a core for a while now and then
      std::vector<double> seconds;
      for (int token = 1; static_cast<int>(seconds.size()) < steps;)
        seconds.push_back(timed([&] { token = session.sample(session.decode(token), {.temperature = 0}); }));
      return 1 / median(std::move(seconds));
    };
    if (steps == 0) return;
    session.feed(prompt);
    depth.push_back(rate());
    session.truncate(0);
    decode.push_back(rate());
  }
};

}  // namespace

int main(int argc, char** argv) try {
  int threads = default_threads(processors()), repetitions = 5;
  bool json = false;
  std::string dir;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : throw Error(a + ": needs a value"); };
    if (a == "--threads")
      threads = std::atoi(value());
    else if (a == "--repetitions")
      repetitions = std::atoi(value());
    else if (a == "--dir")
      dir = value();
    else if (a == "--json")
      json = true;
    else
      throw Error(a + ": unknown; use --threads, --repetitions, --dir, --json");
  }
  const bool temporary = dir.empty();
  if (temporary) dir = (std::filesystem::temp_directory_path() / "atom-model-bench").string();
  if (!std::filesystem::exists(dir + "/model.safetensors")) write_checkpoint(dir);

  omp_set_num_threads(threads);  // Eigen's threads
  Registry builds;
  builds.add(variant<qwen3_0_6b, model::Qwen3>("qwen3_0_6b"));
  builds.add(variant<qwen3_0_6b_int8, model::Qwen3>("qwen3_0_6b_int8"));
  builds.add(variant<qwen3_0_6b_eigen, model::Qwen3>("qwen3_0_6b_eigen"));
  ExecutorOptions o;
  o.model_dir = dir;
  o.threads = threads;
  o.context_tokens = 2048;
  Subject ours("bf16", o, builds);
  o.backend = "eigen";
  Subject eigen("bf16, Eigen GEMM", o, builds);
  o.backend = "cpu";
  o.quant = "int8";
  Subject int8("int8", o, builds);

  ThreadPool pool(threads, cpus_for(threads));
  constexpr std::size_t bytes = std::size_t{2} << 30;
  const char* memory = bench::operands(bytes);
  std::vector<double> bandwidth;
  for (int r = 0; r < repetitions + 1; ++r) {
    bandwidth.push_back(bench::read_bandwidth(pool, memory, bytes));
    ours.round(16);
    int8.round(16);
    eigen.round(0);
    if (r == 0)  // warm-up
      for (auto* v :
           {&bandwidth, &ours.prefill, &ours.decode, &ours.depth, &int8.prefill, &int8.decode, &int8.depth, &eigen.prefill})
        v->clear();
  }
  const double gbs = median(bandwidth);
  if (json)
    std::printf("{\"threads\": %d, \"read_gbs\": %.2f", threads, gbs);
  else
    std::printf("%d threads, DRAM read %.1f GB/s; medians of %d interleaved rounds\n%-18s %14s %14s %20s %14s\n", threads, gbs,
                repetitions, "build", "prefill 512", "decode", "weights, % of DRAM", "decode @1024");
  for (const Subject* s : {&ours, &int8}) {
    const double decode = median(s->decode), rate = decode * s->weight_bytes / 1e9;
    if (json)
      std::printf(", \"%s\": {\"prefill\": %.1f, \"decode\": %.2f, \"decode_bandwidth_share\": %.3f, \"decode_at_1024\": %.2f}",
                  s->label, median(s->prefill), decode, rate / gbs, median(s->depth));
    else
      std::printf("%-18s %10.0f t/s %10.1f t/s %9.1f GB/s, %3.0f %% %10.1f t/s\n", s->label, median(s->prefill), decode, rate,
                  100 * rate / gbs, median(s->depth));
  }
  const double rival = median(eigen.prefill), ratio = median(ours.prefill) / rival;
  if (json)
    std::printf(", \"eigen\": {\"prefill\": %.1f}, \"prefill_ratio\": %.2f}\n", rival, ratio);
  else
    std::printf("%-18s %10.0f t/s      prefill ratio, ours to Eigen's: %.2f\n", eigen.label, rival, ratio);
  if (temporary) std::filesystem::remove_all(dir);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "model_bench: %s\n", e.what());
  return 1;
}
