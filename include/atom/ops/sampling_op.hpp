#pragma once
// sample: one token per row of logits.
// One idea: the random number is a function of (seed, counter) alone (atom/ops/random.hpp), so a request's tokens do not
// depend on what else is in the batch, on the thread count, or on the order of steps.
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
    bool greedy = false;  // whoever calls knows that every temperature is 0; a GPU then reads no params
  };
  static constexpr Name name() { return {"sample"}; }
  static constexpr Cost cost(const args& a) { return {4.0 * a.rows * a.vocab, 4.0 * a.rows * a.vocab}; }
};

}  // namespace atom::kernels
