#pragma once
// Rows that travel: to the ranks that own their experts, and back.
// One idea: a choice (row, k) goes to one rank, which gives it a place among the rows that arrive there; with expert and place
// known, the answer is found again. How many arrive, only the router knows, so there is room for all of them, and a step allocates
// nothing. To extend: a communicator that reaches other machines specialises both keys.
#include "atom/core/backend.hpp"
#include "atom/core/thread_comm.hpp"
#include "atom/model/spec.hpp"
#include "atom/ops/moe_op.hpp"

namespace atom::kernels {

/// What both directions know. Every rank calls with a batch of its own, or all with the same one and different rows of it.
template <class C> struct Traffic {
  const int* expert;  // (rows, top_k): of all experts, which ranks own in order, see model::expert_share
  int* slot;          // (rows, top_k): where each choice of this rank's rows arrived
  int rows, top_k;
  model::Share mine;  // the rows that are this rank's
  int experts;        // of all ranks
  C* comm;
};

/// Every rank's rows to the owners of their experts. Rows that arrive are sorted by expert, those of one expert by rank and row: as
/// if one rank had all rows and all experts.
template <class T, Communicator C> struct dispatch_rows {
  struct args : Traffic<C> {
    const T* x;  // (rows, cols), row stride ldx
    T* y;        // (room, cols): what arrives
    int* first;  // (own experts + 1): the i-th of this rank's experts has y's rows [first[i], first[i + 1])
    int cols, ldx;
    int room;  // as many as all ranks' rows have choices
  };
  static constexpr Name name() { return {"dispatch_rows<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {2.0 * a.mine.count * a.top_k * a.cols * sizeof(T), 0}; }
};

/// y[r] = sum over k of weight[r][k] * the answer to (r, k), plus what the row gets besides, as combine_experts, for this rank's
/// rows. Other rows get only the latter, or nothing: the sum over ranks is then complete.
template <class T, Communicator C> struct return_rows {
  struct args : Traffic<C> {
    const T* x;           // (arrived, cols): this rank's answers to what arrived
    const float* weight;  // (rows, top_k)
    const T* plus;        // (rows, cols), or null
    T* y;                 // (rows, cols), row stride ldy
    int cols, ldy;
  };
  static constexpr Name name() { return {"return_rows<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) {
    const double n = double(a.mine.count) * a.cols;
    return {n * (a.top_k + 1) * sizeof(T), 2 * n * a.top_k};
  }
};

}  // namespace atom::kernels
