#pragma once
// Pairs<Level, T>: a row of T read and written two vectors at a time.
// One idea: a 32-bit lane holds two bf16. As two vectors, the even elements and the odd ones, they cost a shift and a mask;
// consecutive elements in each vector would cost shuffles both ways. Arithmetic does not mind the order, so only float operands
// that meet bf16 (weights, angles) have to be brought into it.
// To extend: another element type is another Pairs with the same members.
#include "simd.hpp"

namespace atom::cpu {

template <class Level> struct Pair {
  using V = typename Simd<Level>::V;
  V even, odd;  // of float rows: the first vector and the second
  friend Pair operator+(Pair x, Pair y) { return {x.even + y.even, x.odd + y.odd}; }
  friend Pair operator*(Pair x, Pair y) { return {x.even * y.even, x.odd * y.odd}; }
  friend Pair operator*(Pair x, V y) { return {x.even * y, x.odd * y}; }
  friend Pair fma(Pair x, Pair y, Pair z) {
    return {Simd<Level>::fma(x.even, y.even, z.even), Simd<Level>::fma(x.odd, y.odd, z.odd)};
  }
  friend Pair negated_fma(Pair x, Pair y, Pair z) {
    return {Simd<Level>::negated_fma(x.even, y.even, z.even), Simd<Level>::negated_fma(x.odd, y.odd, z.odd)};
  }
  static Pair zero() { return {Simd<Level>::zero(), Simd<Level>::zero()}; }
  static float sum(Pair x) { return Simd<Level>::sum(x.even + x.odd); }
};

/// What both element types have: how floats that are in a row's order already are kept.
template <class Level> struct PairsBase {
  using S = Simd<Level>;
  using P = Pair<Level>;
  static constexpr int width = 2 * S::width;
  static P in_order(const float* p) { return {S::load(p), S::load(p + S::width)}; }
  static void store_in_order(float* p, P v) { S::store(p, v.even), S::store(p + S::width, v.odd); }
};

template <class Level, class T> struct Pairs;

template <class Level> struct Pairs<Level, float> : PairsBase<Level> {
  using typename PairsBase<Level>::S;
  using typename PairsBase<Level>::P;
  static constexpr bool has_short_fractions = false;
  struct Whole {};
  struct Tail {
    typename S::Tail low, high;
  };
  static Tail tail(int n) { return n < S::width ? Tail{S::tail(n), S::tail(0)} : Tail{S::tail(S::width), S::tail(n - S::width)}; }
  static P load(const float* p, Whole) { return {S::load(p), S::load(p + S::width)}; }
  static P load(const float* p, Tail t) { return {S::load(p, t.low), S::load(p + S::width, t.high)}; }
  static void store(float* p, P v, Whole) { S::store(p, v.even), S::store(p + S::width, v.odd); }
  static void store(float* p, P v, Tail t) { S::store(p, v.even, t.low), S::store(p + S::width, v.odd, t.high); }
  static void store(int8* p, P v, Whole) { S::store(p, v.even), S::store(p + S::width, v.odd); }
  static void store(int8* p, P v, Tail t) { S::store(p, v.even, t.low), S::store(p + S::width, v.odd, t.high); }
  /// Floats in the order of a row of T.
  static P load_floats(const float* p, auto lanes) { return load(p, lanes); }
  /// v as it would be after a trip through memory.
  static P rounded(P v) { return v; }
  /// The same, but which way a half goes: for what is approximate anyway, and cheaper.
  static P near(P v) { return v; }

  /// A pair as memory has it; and the magnitudes of several, a NaN the largest.
  using Packed = P;
  static Packed pack(P v) { return v; }
  static P unpack(Packed v) { return v; }
  static Packed load_packed(const float* p, auto lanes) { return load(p, lanes); }
  static Packed nothing() { return P::zero(); }
  static Packed larger(Packed top, Packed v) { return {S::larger(top.even, v.even), S::larger(top.odd, v.odd)}; }
  static float largest(Packed top) { return S::largest_magnitude(S::larger(top.even, top.odd)); }
};

template <class Level> struct Pairs<Level, bf16> : PairsBase<Level> {
  using typename PairsBase<Level>::S;
  using typename PairsBase<Level>::P;
  static constexpr bool has_short_fractions = true;  // of 8 bits
  using Whole = typename Pairs<Level, float>::Whole;
  struct Tail {
    typename Pairs<Level, float>::Tail floats;
    typename S::WordTail words;
  };
  static Tail tail(int n) { return {Pairs<Level, float>::tail(n), S::word_tail(n)}; }
  static P load(const bf16* p, auto lanes) { return unpack(load_packed(p, lanes)); }
  static void store(bf16* p, P v, Whole) { S::store_words(p, pack(v)); }
  static void store(bf16* p, P v, Tail t) { S::store_words(p, pack(v), t.words); }
  static void store(int8* p, P v, Whole) { S::store_bytes(p, v.even, v.odd); }
  static void store(int8* p, P v, Tail t) { S::store_bytes(p, v.even, v.odd, t.words); }
  static P load_floats(const float* p, Whole) { return sorted(Pairs<Level, float>::load(p, Whole{})); }
  static P load_floats(const float* p, Tail t) { return sorted(Pairs<Level, float>::load(p, t.floats)); }
  static P rounded(P v) {
    S::round_to_bf16(v.even, v.odd);
    return v;
  }
  static P near(P v) { return {S::near_bf16(v.even), S::near_bf16(v.odd)}; }

  using Packed = typename S::Words;
  static Packed pack(P v) { return S::narrow(v.even, v.odd); }
  static P unpack(Packed w) { return {S::even(w), S::odd(w)}; }
  static Packed load_packed(const bf16* p, Whole) { return S::load_words(p); }
  static Packed load_packed(const bf16* p, Tail t) { return S::load_words(p, t.words); }
  static Packed nothing() { return S::no_words(); }
  static Packed larger(Packed top, Packed w) { return S::larger(top, w); }
  static float largest(Packed top) { return S::largest_magnitude(S::larger(S::even(top), S::odd(top))); }

 private:
  static P sorted(P v) { return {S::evens(v.even, v.odd), S::odds(v.even, v.odd)}; }
};

/// Calls step(i, lanes) for i = 0, width, 2 width ...: lanes is Whole, or Tail for a last incomplete pair.
template <class Level, class T, class Step> void each_pair(int n, Step step) {
  using P = Pairs<Level, T>;
  int i = 0;
  for (; i + P::width <= n; i += P::width) step(i, typename P::Whole{});
  if (i < n) step(i, P::tail(n - i));
}

}  // namespace atom::cpu
