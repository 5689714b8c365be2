#pragma once
// Collectives as kernel keys: the rank's communicator is an argument, its type part of the key.
#include <cstddef>

#include "atom/core/cost.hpp"
#include "atom/core/name.hpp"
#include "atom/core/run.hpp"
#include "atom/core/thread_comm.hpp"

namespace atom::kernels {

/// x becomes the sum over ranks, in rank order.
template <class T, Communicator C> struct all_reduce {
  struct args {
    T* x;  // (count)
    std::size_t count;
    C* comm;
  };
  static constexpr Name name() { return {"all_reduce<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {2.0 * double(a.count) * sizeof(T), double(a.count)}; }
};

/// Columns of all ranks side by side: rank r's x lands at column r * stride of every rank's y.
template <class T, Communicator C> struct all_gather {
  struct args {
    const T* x;  // (rows, cols)
    T* y;        // (rows, ld)
    int rows, cols, stride, ld;
    C* comm;
  };
  static constexpr Name name() { return {"all_gather<", type_name<T>, ">"}; }
  static constexpr Cost cost(const args& a) { return {double(a.rows) * (a.cols + a.ld) * sizeof(T), 0}; }
};

}  // namespace atom::kernels

/// Ranks that share memory need no backend of their own for collectives.
template <class T, class B>
requires std::same_as<typename B::comm, atom::ThreadComm>
struct atom::impl<atom::kernels::all_reduce<T, atom::ThreadComm>, B> {
  static void run(typename B::stream, const typename kernels::all_reduce<T, ThreadComm>::args& a) noexcept {
    a.comm->all_reduce(a.x, a.count);
  }
};
template <class T, class B>
requires std::same_as<typename B::comm, atom::ThreadComm>
struct atom::impl<atom::kernels::all_gather<T, atom::ThreadComm>, B> {
  static void run(typename B::stream, const typename kernels::all_gather<T, ThreadComm>::args& a) noexcept {
    const auto n = [](int v) { return static_cast<std::size_t>(v); };
    a.comm->all_gather(a.x, a.y, n(a.rows), n(a.cols), n(a.stride), n(a.ld));
  }
};
