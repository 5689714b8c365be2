#pragma once
// Dry: a backend that runs no kernel and touches no memory. It records what a forward pass would launch, with each launch's
// cost; the context's arena, with a null base, measures the scratch the pass needs.
// One idea: the memory plan, the fusion review (trace goldens) and `atom inspect` are all one dry run of the real forward.
#include <vector>

#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"

namespace atom {

/// The sizes of a call: what it does is rows x out x in, rows x cols, or rows of heads.
template <class Args> constexpr Name shape_of(const Args& a) {
  Name s;
  if constexpr (requires { a.rows; }) s += name_of_int(a.rows);
  if constexpr (requires { a.out; }) s += Name{"x", name_of_int(a.out)};
  if constexpr (requires { a.in; }) s += Name{"x", name_of_int(a.in)};
  if constexpr (requires { a.cols; }) s += Name{"x", name_of_int(a.cols)};
  if constexpr (requires { a.vocab; }) s += Name{"/", name_of_int(a.vocab)};
  if constexpr (requires { a.heads; }) s += Name{" h", name_of_int(a.heads)};
  if constexpr (requires { a.kv_heads; }) s += Name{"/", name_of_int(a.kv_heads)};
  return s;
}

struct Dry {
  struct Launch {
    Name name, shape;
    Cost cost;
  };
  using stream = std::vector<Launch>*;  // may be null: measure memory only

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
    if (trace) trace->push_back({Op::name(), shape_of(a), Op::cost(a)});
  }
};

}  // namespace atom
