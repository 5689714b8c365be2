#pragma once
// A small mixture of experts with weights of its own, bound as the loader would bind them, on Cpu.
#include <array>
#include <thread>
#include <vector>

#include "atom/model/decoder.hpp"
#include "atom/ops/cpu.hpp"

#include "cpu_setting.hpp"
#include "noise.hpp"

namespace atom::test {

/// Memory on cache lines.
class Lines {
 public:
  explicit Lines(std::size_t bytes) : lines_((bytes + 63) / 64) {}
  std::byte* at(std::size_t byte) { return lines_[0].data() + byte; }

 private:
  struct alignas(64) Line : std::array<std::byte, 64> {};
  std::vector<Line> lines_;
};

/// body(rank, comm) on a thread per rank.
template <class Body> void every_rank(int ranks, Body body) {
  ThreadGroup group(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      ThreadComm comm(group, r);
      body(r, comm);
    });
  for (auto& t : threads) t.join();
}

inline ThreadPool* linear_pool(ThreadPool* p, int in) {
  const auto scratch = kernels::linear_scratch(in);
  p->reserve(scratch.thread);
  p->reserve_shared(scratch.shared);
  return p;
}

/// `Ranks`: what the build says of parallelism.
template <class T, class Q, model::Parallel Ranks> struct tiny_moe {
  static constexpr model::ModelSpec spec{.arch = model::Arch::qwen3_moe, .attn = {.head_dim = 64}, .moe = model::any_moe};
  static constexpr model::Parallel parallel = Ranks;
  using backend = Cpu;
  using act = T;
  using kv = T;
  using quants = model::Quants<Q>;
};

struct MixtureShape {
  int experts, top_k, d_model = 64, d_ff = 96;
};

/// The experts of a method, all of them.
template <class M, class Method> struct Mixture {
  using T = typename M::act;
  MixtureShape shape;
  Method method;
  std::vector<Lines> memory;
  std::vector<std::vector<float>> scales;

  explicit Mixture(MixtureShape s) : shape(s) {
    method.shape(s.experts);
    model::ParamTable table;
    method.template describe<model::ModelContext<M>>(table, {nullptr, "experts"});
    for (std::size_t i = 0; i < table.size(); ++i) {
      model::ParamRef& p = table[i];
      const bool bias = p.name.ends_with(".bias"), down = p.name.find("down_proj") != std::string::npos;
      const int rows = down ? s.d_model : 2 * s.d_ff, cols = bias ? 1 : down ? s.d_ff : s.d_model;
      const auto elements = static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
      const auto values = noise<float>(elements, static_cast<unsigned>(i), 0.1f);
      memory.emplace_back(p.layout ? p.layout->bytes(rows, cols) : 4 * elements);
      std::byte* at = memory.back().at(0);
      if (bias) {
        std::copy(values.begin(), values.end(), reinterpret_cast<float*>(at));
      } else {
        scales.emplace_back(static_cast<std::size_t>(rows));
        std::vector<std::byte> stored(elements * static_cast<std::size_t>(size_of(p.dtype)));
        for (int r = 0; r < rows; ++r) {
          const auto row = static_cast<std::size_t>(r) * static_cast<std::size_t>(cols);
          std::byte* to = stored.data() + row * static_cast<std::size_t>(size_of(p.dtype));
          if (p.encode)
            p.encode(values.data() + row, cols, 0, cols, to, &scales.back()[static_cast<std::size_t>(r)]);
          else
            for (int c = 0; c < cols; ++c) reinterpret_cast<bf16*>(to)[c] = bf16(values[row + static_cast<std::size_t>(c)]);
        }
        p.layout->put(at, rows, cols, {stored.data(), cols, 0, rows});
        if (p.scale) *p.scale = scales.back().data();
      }
      p.bind(p.param, at, rows, cols);
    }
    for (const model::TableRef& t : table.tables) {
      std::byte* at = memory.emplace_back(t.bytes).at(0);
      t.make(t.module, {}, at);
      t.bind(t.module, at);
    }
  }

  /// What a rank makes of x (rows, d_model); the sum over ranks is the answer.
  std::vector<T> run(ThreadPool* pool, ThreadComm* comm, model::Rank rank, const std::vector<T>& x, const std::vector<int>& expert,
                     const std::vector<float>& weight, const T* plus = nullptr) const {
    return in_context(pool, comm, rank, x, [&](auto& ctx, Tensor<T> in, Tensor<T> out) {
      method(ctx, in, {expert.data(), weight.data(), shape.top_k}, plus, out);
    });
  }
  /// The answer where `router` gives the logits, and weights count where Weighed says.
  template <class Rule, class Weighed>
  std::vector<T> mix(ThreadPool* pool, ThreadComm* comm, model::Rank rank, const std::vector<T>& x, const auto& router) const {
    return in_context(pool, comm, rank, x,
                      [&](auto& ctx, Tensor<T> in, Tensor<T> out) { moe::mix<Rule, Weighed>(ctx, router, method, in, out); });
  }

 private:
  std::vector<T> in_context(ThreadPool* pool, ThreadComm* comm, model::Rank rank, const std::vector<T>& x, auto body) const {
    constexpr std::size_t room = std::size_t{4} << 20;
    Lines scratch(room);
    model::ModelContext<M> ctx;
    ctx.stream = linear_pool(pool, 128);
    ctx.comm = comm;
    ctx.rank = rank;
    ctx.local.moe = {.experts = shape.experts, .top_k = shape.top_k};
    ctx.arena = {.base = scratch.at(0), .capacity = room};
    const int rows = static_cast<int>(x.size()) / shape.d_model;
    auto in = x;
    std::vector<T> y(x.size(), T(-7.0f));
    body(ctx, Tensor<T>{in.data(), rows, shape.d_model}, Tensor<T>{y.data(), rows, shape.d_model});
    return y;
  }
};

}  // namespace atom::test
