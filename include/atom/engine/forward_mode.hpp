#pragma once
// ForwardMode: whether a step is replayed from a recorded graph or launched kernel by kernel, and how many sequences it then
// counts. One idea: the smallest recorded size that holds the step is used, the rest of it is padding; what no recorded size holds
// runs as it is. Pure arithmetic, so that every rank of a group decides the same. To extend: a device back end records a graph per
// GraphKey (whole steps) or BatchDescriptor (pieces between attention calls).
#include <algorithm>
#include <compare>
#include <span>

namespace atom::engine {

/// A recorded step of answers: bs sequences of q tokens each.
struct GraphKey {
  int bs = 0, q = 1;
  auto operator<=>(const GraphKey&) const = default;
};

/// A recorded piece of a step.
struct BatchDescriptor {
  int num_tokens = 0;
  bool uniform_decode = false;  // every sequence brings the same number of tokens
  auto operator<=>(const BatchDescriptor&) const = default;
};

/// The smallest captured size that is n or more; 0: there is none. captured: ascending.
constexpr int padded_size(std::span<const int> captured, int n) {
  const auto at = std::ranges::lower_bound(captured, n);
  return at == captured.end() ? 0 : *at;
}

/// A step, before it is decided how to run it.
struct StepShape {
  int num_seqs = 0, num_input_tokens = 0;  // tokens may be padded already, to the most among data-parallel ranks
  int q = 1;                               // tokens per sequence of a step of answers
  bool prefill = false;                    // it holds a prompt
  bool uniform = true;                     // all data-parallel ranks run a step of answers too
};

struct ForwardMode {
  bool graph = false;
  int batch_size = 0;  // sequences that count, padding included
  int padded = 0;      // sequences that layers with a collective inside must allow for

  static constexpr ForwardMode decide(const StepShape& step, std::span<const int> captured, bool enforce_eager) {
    if (step.prefill) return {false, step.num_seqs, step.num_seqs};
    const int padded = (step.num_input_tokens + step.q - 1) / step.q;
    const int size = step.uniform && !enforce_eager ? padded_size(captured, padded) : 0;
    return size > 0 ? ForwardMode{true, size, size} : ForwardMode{false, step.num_seqs, padded};
  }
};

}  // namespace atom::engine
