// gpu_times: how long kernels take on this device, beside what their bytes cost. Shapes of decoding with 0.6 B and 8 B models;
// every figure is the median of 20 replays of a graph that walks through data larger than the last-level cache.
//   gpu_times [--json] [norm] [silu] [linear] [joined] [head] [attention] [experts] [latent] [sample]
// All of them if none is named; --json: an object per line.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>

#include "atom/core/error.hpp"
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/runtime.hpp"
#include "atom/ops/gpu.hpp"

#include "noise.hpp"

namespace atom::test {
namespace {

bool json = false;

constexpr std::size_t rotation_bytes = 200u << 20;  // several times the cache of an H100

std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

/// Device memory that repeats a short random pattern: fresh numbers everywhere, cheap to make.
template <class T> gpu::Buffer<T> random_buffer(std::size_t n, Hip::stream stream, float scale = 1) {
  static const auto pattern = noise<T>(1 << 20, 1, 1);
  auto scaled = pattern;
  for (auto& x : scaled) x = T(static_cast<float>(x) * scale);
  gpu::Buffer<T> b(n);
  for (std::size_t i = 0; i < n; i += scaled.size())
    gpu::copy(b.data() + i, scaled.data(), std::min(scaled.size(), n - i) * sizeof(T), stream);
  return b;
}
template <class T> gpu::Buffer<T> buffer_of(const std::vector<T>& v, Hip::stream stream) {
  gpu::Buffer<T> b(v.size());
  gpu::copy(b.data(), v.data(), v.size() * sizeof(T), stream);
  return b;
}

/// One graph of so many calls, each of which costs that much.
template <class Launch>
void time(const gpu::Stream& stream, const std::string& name, const std::string& shape, Cost cost, std::size_t calls,
          Launch launch) {
  const gpu::Graph graph(stream, [&] {
    for (std::size_t i = 0; i < calls; ++i) launch(i);
  });
  graph.launch(stream);
  stream.wait();
  std::vector<float> us;
  const gpu::Event begin, end;
  for (int i = 0; i < 20; ++i) {
    begin.record(stream);
    graph.launch(stream);
    end.record(stream);
    us.push_back(end.milliseconds_since(begin) * 1e3f / static_cast<float>(calls));
  }
  std::sort(us.begin(), us.end());
  const double t = double{us[10]};
  if (json) {
    std::printf("{\"kernel\": \"%s\", \"shape\": \"%s\", \"us\": %.3f, \"gb_per_second\": %.1f, \"gflops\": %.1f}\n", name.c_str(),
                shape.c_str(), t, cost.bytes / t * 1e-3, cost.flops / t * 1e-3);
    return;
  }
  std::printf("%-34s %-40s %9.2f us  %8.1f GB/s  %8.1f GFLOP/s\n", name.c_str(), shape.c_str(), t, cost.bytes / t * 1e-3,
              cost.flops / t * 1e-3);
}

template <class Op>
void time(const gpu::Stream& stream, const std::vector<typename Op::args>& calls, const std::string& shape, Cost cost) {
  time(stream, std::string(std::string_view(Op::name())), shape, cost, calls.size(),
       [&](std::size_t i) { run_on<Op, Hip>(stream, calls[i]); });
}

int copies_for(double bytes) { return std::clamp(static_cast<int>(double(rotation_bytes) / bytes), 4, 64); }

void linear(const gpu::Stream& stream, int rows, int out, int in) {
  using op = kernels::linear<quant::NoAs<bf16>, bf16, bf16>;
  const int copies = copies_for(2.0 * out * in);
  const auto x = random_buffer<bf16>(size(rows, in), stream);
  const auto w = random_buffer<bf16>(size(out, in) * static_cast<std::size_t>(copies), stream, 0.02f);
  gpu::Buffer<bf16> y(size(rows, out));
  std::vector<op::args> calls;
  for (int i = 0; i < copies; ++i)
    calls.push_back({x.data(), nullptr, w.data() + size(out, in) * static_cast<std::size_t>(i), nullptr, nullptr, y.data(), rows,
                     out, in, in, out});
  const std::string shape = std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in);
  const auto product = [&](std::size_t i) {
    return gpu::Product{x.data(), calls[i].w, y.data(), rows, out, in, in, out, false, false};
  };
  const bool vendor = gpu::vendor_serves(product(0));  // it chooses
  time<op>(stream, calls, shape, op::cost(calls[0]));  // as in a step
  if (rows <= 8 || !vendor) return;
  time(stream, std::string(std::string_view(op::name())), shape + ", vendor", op::cost(calls[0]), calls.size(),
       [&](std::size_t i) { gpu::vendor_gemm(stream, product(i)); });
  gpu::use_gemm(gpu::Gemm::own);
  time<op>(stream, calls, shape + ", own", op::cost(calls[0]));
  gpu::use_gemm(gpu::Gemm::automatic);
}

/// What a layer launches around a product of few rows, joined to it and one behind the other.
template <class Tail> void joined(const gpu::Stream& stream, int rows, int out, int in, bool normed) {
  using op = kernels::fused_linear<quant::NoAs<bf16>, bf16, Tail>;
  using product = typename op::linear;
  using norm = kernels::rmsnorm<kernels::NormFlags{}, quant::Keep, bf16>;
  using gate = kernels::gate_mul<activation::Silu, quant::Keep, bf16>;
  constexpr bool gated = std::is_same_v<Tail, kernels::Gate<activation::Silu>>;
  const int copies = copies_for(2.0 * out * in);
  const auto x = random_buffer<bf16>(size(rows, in), stream), normal = random_buffer<bf16>(size(rows, in), stream);
  const auto w = random_buffer<bf16>(size(out, in) * static_cast<std::size_t>(copies), stream, 0.02f);
  const auto weight = random_buffer<float>(size(1, in), stream);
  const gpu::Buffer<bf16> y(size(rows, out)), z(size(rows, out));
  const auto args = [&](std::size_t i, const bf16* from, bf16* to, int ldy) {
    return typename product::args{from, nullptr, w.data() + size(out, in) * i, nullptr, nullptr, to, rows, out, in, in, ldy};
  };
  const std::string shape = std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in);
  const auto n = static_cast<std::size_t>(copies);
  const bool takes = impl<op, Hip>::takes({args(0, x.data(), y.data(), out), normed ? weight.data() : nullptr, 1e-6f});
  if (takes)
    time(stream, std::string(std::string_view(op::name())), shape + (normed ? ", with its norm" : ""),
         op::cost({args(0, x.data(), y.data(), out)}), n, [&](std::size_t i) {
           run_on<op, Hip>(stream, {args(i, x.data(), z.data(), gated ? out / 2 : out), normed ? weight.data() : nullptr, 1e-6f});
         });
  time(stream, "one by one", shape + (normed ? ", with its norm" : ""), product::cost(args(0, x.data(), y.data(), out)), n,
       [&](std::size_t i) {
         if (normed)
           run_on<norm, Hip>(stream, {x.data(), nullptr, weight.data(), normal.data(), nullptr, nullptr, rows, in, in, 1e-6f});
         run_on<product, Hip>(stream, args(i, normed ? normal.data() : x.data(), y.data(), out));
         if (gated) run_on<gate, Hip>(stream, {y.data(), z.data(), nullptr, nullptr, rows, out / 2, out});
       });
}

/// A model's head and a greedy draw: each row's best found by the head's kernel, by a launch behind it, and in the draw.
void head(const gpu::Stream& stream, int rows, int vocab, int in) {
  using joined = kernels::fused_linear<quant::NoAs<bf16>, bf16, kernels::Best>;
  const int copies = copies_for(2.0 * vocab * in);
  const auto x = random_buffer<bf16>(size(rows, in), stream);
  const auto w = random_buffer<bf16>(size(vocab, in) * static_cast<std::size_t>(copies), stream, 0.02f);
  const gpu::Buffer<float> logits(size(rows, vocab));
  const auto best = buffer_of(std::vector<std::uint64_t>(size(rows, 1)), stream);
  const gpu::Buffer<int> tokens(size(rows, 1)), scratch(impl<kernels::sample, Hip>::scratch_ints(rows, vocab));
  const auto args = [&](std::size_t i) {
    return joined::linear::args{x.data(), nullptr, w.data() + size(vocab, in) * i, nullptr, nullptr, logits.data(), rows, vocab, in,
                                in,       vocab};
  };
  const std::string shape = std::to_string(rows) + " x " + std::to_string(vocab) + " x " + std::to_string(in);
  const auto all = [&](const char* name, bool known, auto product) {
    time(stream, name, shape, joined::linear::cost(args(0)), static_cast<std::size_t>(copies), [&](std::size_t i) {
      product(args(i));
      run_on<kernels::sample, Hip>(stream, {logits.data(), nullptr, nullptr, scratch.data(), tokens.data(), rows, vocab, vocab,
                                            true, known ? best.data() : nullptr});
    });
  };
  const auto by_head = [&](const auto& a) { run_on<joined, Hip>(stream, {a, nullptr, 0, best.data()}); };
  if (impl<joined, Hip>::takes({args(0)})) all("head with bests, sample", true, by_head);
  all("head, bests, sample", true, [&](const auto& a) {
    run_on<joined::linear, Hip>(stream, a);
    run_on<kernels::best_tokens, Hip>(stream, {logits.data(), best.data(), rows, vocab, vocab});
  });
  all("head, sample", false, [&](const auto& a) { run_on<joined::linear, Hip>(stream, a); });
}

/// Pages of noise; codes with every byte 0x38, scales too, cost as much as any.
template <class Kv> auto random_cache(std::size_t elements, Hip::stream stream) {
  if constexpr (kernels::has_scales<Kv>)
    return buffer_of(
        std::vector<kernels::cache_element<Kv>>(elements, std::bit_cast<kernels::cache_element<Kv>>(std::uint8_t{0x38})), stream);
  else
    return random_buffer<Kv>(elements, stream);
}

template <class Kv> void attention(const gpu::Stream& stream, int seqs, int context, int heads, int kv_heads) {
  constexpr int D = 128;
  using op = kernels::paged_attention<bf16, Kv, D>;
  using layout = kernels::KvLayout<Kv, D>;
  const int pages = (context + layout::page - 1) / layout::page;
  const std::size_t elements = layout::elements(size(pages, seqs), kv_heads);
  const int copies = copies_for(2.0 * sizeof(typename layout::element) * static_cast<double>(elements));
  const auto k = random_cache<Kv>(elements * static_cast<std::size_t>(copies), stream);
  const auto v = random_cache<Kv>(elements * static_cast<std::size_t>(copies), stream);
  const auto q = random_buffer<bf16>(size(seqs, heads * D), stream);
  gpu::Buffer<bf16> o(size(seqs, heads * D));
  std::vector<int> table(size(seqs, pages)), first_row, lengths(size(seqs, 1), context);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int>(i);
  std::shuffle(table.begin(), table.end(), std::mt19937(2));
  for (int s = 0; s <= seqs; ++s) first_row.push_back(s);
  const auto d_table = buffer_of(table, stream), d_first = buffer_of(first_row, stream), d_context = buffer_of(lengths, stream);
  const gpu::Buffer<float> partials(size(seqs * heads, kernels::attention_splits(kv_heads) * kernels::partial_width(D)));
  const auto d_arrivals = buffer_of(std::vector<int>(size(seqs, kv_heads)), stream);
  std::vector<typename op::args> calls;
  for (int i = 0; i < copies; ++i) {
    const std::size_t at = elements * static_cast<std::size_t>(i);
    calls.push_back({q.data(), o.data(), k.data() + at, v.data() + at, d_table.data(), d_first.data(), d_context.data(), seqs, seqs,
                     heads, kv_heads, heads * D, pages, 1 / std::sqrt(float{D})});
    calls.back().partials = partials.data();
    calls.back().arrivals = d_arrivals.data();
  }
  auto host = calls[0];
  host.first_row = first_row.data();
  host.context = lengths.data();
  time<op>(
      stream, calls,
      std::to_string(seqs) + " x " + std::to_string(context) + ", heads " + std::to_string(heads) + "/" + std::to_string(kv_heads),
      op::cost(host));
}

/// `rows` choices, spread over as many experts as they can meet.
void experts(const gpu::Stream& stream, int rows, int count, int out, int in) {
  using op = kernels::expert_linear<quant::NoAs<bf16>, bf16>;
  const int met = std::min(rows, count), copies = copies_for(2.0 * met * out * in);
  const auto x = random_buffer<bf16>(size(rows, in), stream);
  const auto w = random_buffer<bf16>(size(out, in) * size(count, 1), stream, 0.02f);
  gpu::Buffer<bf16> y(size(rows, out));
  std::vector<kernels::ExpertWeight<bf16>> table;
  for (std::size_t e = 0; e < size(count, 1); ++e) table.push_back({w.data() + e * size(out, in), nullptr, nullptr});
  const auto d_table = buffer_of(table, stream);
  std::vector<gpu::Buffer<int>> firsts;
  std::vector<op::args> calls;
  for (int i = 0; i < copies; ++i) {  // other experts in every call
    std::vector<int> each(size(count, 1)), first{0};
    for (int m = 0; m < met; ++m) each[static_cast<std::size_t>((i * met + m) % count)] = rows / met + (m < rows % met);
    for (int n : each) first.push_back(first.back() + n);
    firsts.push_back(buffer_of(first, stream));
    calls.push_back({x.data(), nullptr, d_table.data(), firsts.back().data(), y.data(), rows, out, in, count});
  }
  stream.wait();
  time<op>(stream, calls,
           std::to_string(rows) + " of " + std::to_string(count) + ", " + std::to_string(out) + " x " + std::to_string(in),
           op::cost(calls[0]));
}

/// `rows` of each sequence, the last of its context.
void latent(const gpu::Stream& stream, int seqs, int rows, int context, int heads) {
  constexpr int C = 512, R = 64, N = 128, V = 128;
  using op = kernels::latent_attention<quant::NoAs<bf16>, bf16, bf16, C, R, N, V>;
  using layout = kernels::LatentLayout<bf16, C + R>;
  const int pages = (context + layout::page - 1) / layout::page, all = seqs * rows;
  const std::size_t elements = layout::elements(size(pages, seqs)), weights = size(heads * (N + V), C);
  const int copies = rows > 1 ? 4 : copies_for(2.0 * static_cast<double>(elements + weights));
  const auto cache = random_buffer<bf16>(elements * static_cast<std::size_t>(copies), stream);
  const auto w = random_buffer<bf16>(weights * static_cast<std::size_t>(copies), stream, 0.02f);
  const auto q = random_buffer<bf16>(size(all, heads * (N + R)), stream);
  gpu::Buffer<bf16> o(size(all, heads * V));
  gpu::Buffer<std::byte> scratch(impl<op, Hip>::scratch_bytes(all, seqs, heads));
  std::vector<int> table(size(seqs, pages)), first_row, lengths(size(seqs, 1), context);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int>(i);
  std::shuffle(table.begin(), table.end(), std::mt19937(2));
  for (int s = 0; s <= seqs; ++s) first_row.push_back(s * rows);
  const auto d_table = buffer_of(table, stream), d_first = buffer_of(first_row, stream), d_context = buffer_of(lengths, stream);
  std::vector<op::args> calls;
  for (std::size_t i = 0; i < size(copies, 1); ++i)
    calls.push_back({q.data(), w.data() + weights * i, nullptr, o.data(), cache.data() + elements * i, d_table.data(),
                     d_first.data(), d_context.data(), all, seqs, heads, heads * (N + R), pages, 0.1f, scratch.data()});
  auto host = calls[0];
  host.first_row = first_row.data();
  host.context = lengths.data();
  time<op>(
      stream, calls,
      std::to_string(seqs) + " x " + std::to_string(rows) + " of " + std::to_string(context) + ", heads " + std::to_string(heads),
      op::cost(host));
}

void norm(const gpu::Stream& stream, int rows, int cols) {
  using op = kernels::rmsnorm<kernels::NormFlags{.residual = true}, quant::Keep, bf16>;
  const auto x = random_buffer<bf16>(size(rows, cols), stream);
  const auto h = random_buffer<bf16>(size(rows, cols), stream);
  const auto w = random_buffer<float>(size(1, cols), stream);
  gpu::Buffer<bf16> y(size(rows, cols));
  const std::vector<op::args> calls(20, {x.data(), h.data(), w.data(), y.data(), nullptr, nullptr, rows, cols, cols, 1e-6f});
  time<op>(stream, calls, std::to_string(rows) + " x " + std::to_string(cols), op::cost(calls[0]));
}

void silu(const gpu::Stream& stream, int rows, int cols) {
  using op = kernels::silu_mul<quant::Keep, bf16>;
  const auto x = random_buffer<bf16>(size(rows, 2 * cols), stream);
  gpu::Buffer<bf16> y(size(rows, cols));
  const std::vector<op::args> calls(20, {x.data(), y.data(), nullptr, nullptr, rows, cols, 2 * cols});
  time<op>(stream, calls, std::to_string(rows) + " x " + std::to_string(cols), op::cost(calls[0]));
}

void sample(const gpu::Stream& stream, int rows, const kernels::SampleParams& p, const std::string& what) {
  using op = kernels::sample;
  constexpr int vocab = 151936;
  const auto logits = random_buffer<float>(size(rows, vocab), stream, 2);
  std::vector<kernels::SampleParams> params(size(rows, 1), p);
  for (std::size_t r = 0; r < params.size(); ++r) params[r].counter = r;
  const auto d_params = buffer_of(params, stream);
  gpu::Buffer<int> tokens(size(rows, 1)), scratch(impl<op, Hip>::scratch_ints(rows, vocab));
  const std::vector<op::args> calls(
      4, {logits.data(), d_params.data(), nullptr, scratch.data(), tokens.data(), rows, vocab, vocab, p.temperature == 0});
  time<op>(stream, calls, std::to_string(rows) + " x 151936, " + what, op::cost(calls[0]));
}

}  // namespace
}  // namespace atom::test

int main(int argc, char** argv) try {
  using namespace atom;
  std::vector<std::string> parts(argv + 1, argv + argc);
  test::json = std::erase(parts, "--json") > 0;
  const auto wanted = [&](const char* part) { return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end(); };
  gpu::require_device();
  gpu::use_gemm(gpu::Gemm::automatic);
  const gpu::Device d = gpu::device();
  if (!test::json)
    std::printf("%s, %s, %d multiprocessors, %zu MiB, cache %zu MiB; products of many rows: %s\n", d.name.c_str(),
                d.architecture.c_str(), d.multiprocessors, d.memory >> 20, d.l2 >> 20, gpu::gemm_library().c_str());
  const gpu::Stream stream;
  if (wanted("norm"))
    for (int rows : {1, 16, 256}) test::norm(stream, rows, 4096), test::norm(stream, rows, 1024);
  if (wanted("silu"))
    for (int rows : {1, 16, 256}) test::silu(stream, rows, 12288), test::silu(stream, rows, 3072);
  if (wanted("linear"))
    for (int rows : {1, 4, 8, 16, 32, 64, 256, 512, 4096}) {
      test::linear(stream, rows, 4096, 1024), test::linear(stream, rows, 1024, 2048);  // 0.6 B: qkv, o, gate and up, down, head
      test::linear(stream, rows, 6144, 1024), test::linear(stream, rows, 1024, 3072);
      if (rows <= 256) test::linear(stream, rows, 151936, 1024);
      test::linear(stream, rows, 6144, 4096), test::linear(stream, rows, 4096, 4096);  // 8 B
      test::linear(stream, rows, 24576, 4096), test::linear(stream, rows, 4096, 12288);
    }
  if (wanted("joined"))
    for (int rows : {1, 4, 8, 16, 32, 64})
      for (const auto& [qkv, width, ff, o] : {std::array{4096, 1024, 3072, 2048}, std::array{6144, 4096, 12288, 4096}}) {
        using Gate = kernels::Gate<activation::Silu>;
        test::joined<kernels::Write>(stream, rows, qkv, width, true);
        test::joined<kernels::Add>(stream, rows, width, o, false);
        test::joined<Gate>(stream, rows, 2 * ff, width, true), test::joined<Gate>(stream, rows, 2 * ff, width, false);
        test::joined<kernels::Add>(stream, rows, width, ff, false);
      }
  if (wanted("head"))
    for (int rows : {1, 4, 8, 16, 32, 64, 128}) test::head(stream, rows, 151936, 1024), test::head(stream, rows, 151936, 4096);
  if (wanted("attention"))
    for (int seqs : {1, 16, 64})
      for (int context : {1024, 4096}) {
        test::attention<bf16>(stream, seqs, context, 16, 8);
        test::attention<bf16>(stream, seqs, context, 32, 8);
        test::attention<quant::PerToken<fp8_e4m3>>(stream, seqs, context, 32, 8);
        test::attention<quant::PerToken<int8>>(stream, seqs, context, 32, 8);
      }
  if (wanted("experts"))
    for (int rows : {8, 64, 128, 512, 4096, 32768})
      test::experts(stream, rows, 128, 1536, 2048), test::experts(stream, rows, 128, 2048, 768);  // Qwen3-30B-A3B
  if (wanted("latent"))
    for (int heads : {16, 128}) {  // DeepSeek-V2-Lite, V3
      for (int seqs : {1, 16, 64}) test::latent(stream, seqs, 1, 1024, heads), test::latent(stream, seqs, 1, 8192, heads);
      test::latent(stream, 1, 2048, 2048, heads);
    }
  for (int rows : {1, 16, 64}) {
    if (!wanted("sample")) break;
    test::sample(stream, rows, {.temperature = 0}, "greedy");
    test::sample(stream, rows, {.temperature = 1}, "plain");
    test::sample(stream, rows, {.temperature = 1, .top_k = 50}, "top k");
    test::sample(stream, rows, {.temperature = 1, .top_p = 0.9f}, "top p");
    test::sample(stream, rows, {.temperature = 1, .min_p = 0.05f}, "min p");
    test::sample(stream, rows, {.temperature = 1, .top_k = 50, .top_p = 0.9f}, "top k, top p");
    test::sample(stream, rows, {.temperature = 5, .top_p = 0.9f}, "hot, top p");
  }
  return 0;
} catch (const atom::Error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
