#pragma once
// sample: one token per row of logits. best_tokens: each row's most likely one, for who wants to know it before.
// One idea: the random number is a function of (seed, counter) alone (atom/ops/random.hpp), so a request's tokens do not
// depend on what else is in the batch, on the thread count, or on the order of steps.
// To extend: another filter is a member of SampleParams, its loop in sampling_ref.hpp, and kernels.
#include <bit>
#include <cmath>
#include <cstdint>

#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"

namespace atom::kernels {

struct SampleParams {
  float temperature = 1;  // 0: greedy, ties to the lowest id; the filters are then irrelevant
  int top_k = 0;          // keep the k most likely; 0: all
  float top_p = 1;        // then keep the shortest prefix, by probability, that reaches top_p (at least one token)
  float min_p = 0;        // then drop tokens less likely than min_p times the most likely
  std::uint64_t seed = 0;
  std::uint64_t counter = 0;  // which draw of the request this is
};

/// A token and its logit as one number, larger for what is better: the logit's bits in their order, then the id's complement, so
/// that of equal logits the lowest id wins. Whoever finds a better one keeps the larger number, in any order. 0: none, or a NaN.
struct BestToken {
  static constexpr std::uint64_t of(float logit, int id) {
    if (logit != logit) return 0;
    const auto bits = std::bit_cast<std::uint32_t>(logit == 0 ? 0.0f : logit);  // zeros of both signs are equal
    const std::uint32_t order = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    return std::uint64_t{order} << 32 | static_cast<std::uint32_t>(~id);
  }
  static constexpr int token(std::uint64_t best) { return best == 0 ? 0 : static_cast<int>(~static_cast<std::uint32_t>(best)); }
  static constexpr float logit(std::uint64_t best) {
    const auto order = static_cast<std::uint32_t>(best >> 32);
    return best == 0 ? -INFINITY : std::bit_cast<float>(order >> 31 != 0 ? order & 0x7fffffffu : ~order);
  }
};

/// best[r] becomes the best of what it was and of row r's tokens.
struct best_tokens {
  struct args {
    const float* logits;  // (rows, vocab), row stride ld
    std::uint64_t* best;  // (rows)
    int rows, vocab, ld;
  };
  static constexpr Name name() { return {"best_tokens"}; }
  static constexpr Cost cost(const args& a) { return {4.0 * a.rows * a.vocab, 1.0 * a.rows * a.vocab}; }
};

/// Softmax of logits / temperature, filters in the order top_k, top_p, min_p, each renormalising; then the token at which the
/// cumulative probability, tokens sorted by logit (ties: lower id first), first exceeds uniform(seed, counter).
struct sample {
  struct args {
    const float* logits;         // (rows, vocab), row stride ld
    const SampleParams* params;  // (rows)
    float* sorted;               // (rows, vocab) scratch
    int* order;                  // (rows, vocab) scratch
    int* tokens;                 // (rows) out
    int rows, vocab, ld;
    bool greedy = false;                  // whoever calls knows that every temperature is 0; a GPU then reads no params
    const std::uint64_t* best = nullptr;  // (rows): what best_tokens finds, begun at 0; or null: nobody looked
  };
  static constexpr Name name() { return {"sample"}; }
  static constexpr Cost cost(const args& a) {
    if (a.greedy && a.best) return {12.0 * a.rows, 0};
    return {4.0 * a.rows * a.vocab, 4.0 * a.rows * a.vocab};
  }
};

}  // namespace atom::kernels
