#pragma once
// Dry: a backend that runs no kernel and touches no memory. It records what a forward pass would launch, with each launch's
// cost; the context's arena, with a null base, measures the scratch the pass needs.
// One idea: the memory plan, the fusion review (trace goldens) and `atom inspect` are all one dry run of the real forward.
#include <vector>

#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"

namespace atom {

/// What a call does is rows x out x in, rows x cols, or rows of heads. -1: its arguments have no such size.
struct CallSizes {
  int rows = -1, out = -1, in = -1, cols = -1, vocab = -1, heads = -1, kv_heads = -1;

  constexpr Name name() const {
    Name n;
    const auto add = [&](std::string_view before, int size) {
      if (size >= 0) n += Name{before, name_of_int(size)};
    };
    add("", rows);
    add("x", out);
    add("x", in);
    add("x", cols);
    add("/", vocab);
    add(" h", heads);
    add("/", kv_heads);
    return n;
  }
};

template <class Args> constexpr CallSizes sizes_of(const Args& a) {
  CallSizes s;
  if constexpr (requires { a.rows; }) s.rows = a.rows;
  if constexpr (requires { a.out; }) s.out = a.out;
  if constexpr (requires { a.in; }) s.in = a.in;
  if constexpr (requires { a.cols; }) s.cols = a.cols;
  if constexpr (requires { a.vocab; }) s.vocab = a.vocab;
  if constexpr (requires { a.heads; }) s.heads = a.heads;
  if constexpr (requires { a.kv_heads; }) s.kv_heads = a.kv_heads;
  return s;
}

struct Dry {
  struct Launch {
    Name name, shape;
    Cost cost;
  };
  using stream = std::vector<Launch>*;  // may be null: measure memory only

  /// No template: every key has its own run(), which should be little more than a call of this.
  static void note(std::vector<Launch>& trace, const Name& name, const CallSizes& sizes, const Cost& cost) {
    trace.push_back({name, sizes.name(), cost});
  }

  /// Pretends to be one of `ranks` ranks, so that collectives appear in the trace.
  struct comm {
    int ranks = 1;
    int rank() const { return 0; }
    int size() const { return ranks; }
    void all_reduce(auto*, std::size_t) {}
    void all_gather(const float*, float*, std::size_t, std::size_t, std::size_t, std::size_t) {}
  };
};

template <class Op> struct impl<Op, Dry> {
  static void run(Dry::stream trace, const typename Op::args& a) {
    if (trace) Dry::note(*trace, name, sizes_of(a), Op::cost(a));
  }

 private:
  static constexpr Name name = Op::name();
};

}  // namespace atom
