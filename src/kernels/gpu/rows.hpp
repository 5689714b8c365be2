#pragma once
// What kernels over rows share: one block per row, vectors of 16 bytes where everything is aligned, and int8 codes.
#include "atom/gpu/shared.hpp"

namespace atom::gpu {

inline constexpr int row_threads = 256;

/// How many T make a vector.
template <class T> inline constexpr int vector_of = 16 / static_cast<int>(sizeof(T));

template <class T> ATOM_DEVICE T* row_of(T* p, int row, int stride) { return p + static_cast<std::ptrdiff_t>(row) * stride; }

/// Of n things, of which the i-th has count(i) parts: whose part the index-th is, and which of its parts; -1 behind the last. All
/// threads of a wave must arrive.
struct Picked {
  int of, part;
};
template <class Cta, class Count> ATOM_DEVICE Picked pick(Cta& cta, int index, int n, Count count) {
  constexpr int W = Cta::wave;
  const int lane = cta.lane();
  for (int first = 0; first < n; first += W) {
    const int mine = first + lane < n ? count(first + lane) : 0;
    int sum = mine;  // of this lane's and those before it
    for (int m = 1; m < W; m *= 2) {
      const int before = cta.shfl(sum, max(lane - m, 0));
      if (lane >= m) sum += before;
    }
    if (const std::uint64_t hit = cta.ballot(index < sum)) {
      const int at = lowest_bit(hit);
      return {first + at, index - cta.shfl(sum - mine, at)};
    }
    index -= cta.shfl(sum, W - 1);
  }
  return {-1, 0};
}

/// The same numbers in another type.
template <class To, class T, int N> ATOM_DEVICE vec<To, N> converted(const vec<T, N>& x) {
  if constexpr (std::is_same_v<To, T>) {
    return x;
  } else {
    vec<To, N> r;
    ATOM_UNROLL for (int i = 0; i < N; ++i) r.v[i] = To(static_cast<float>(x.v[i]));
    return r;
  }
}

/// fp32 beside a vector of N activations, which may be more than 16 bytes.
template <int N> ATOM_DEVICE vec<float, N> load_floats(const float* p) {
  if constexpr (N <= 4) {
    return load<N>(p);
  } else {
    vec<float, N> r;
    ATOM_UNROLL for (int i = 0; i < N; i += 4) {
      const auto part = load<4>(p + i);
      ATOM_UNROLL for (int j = 0; j < 4; ++j) r.v[i + j] = part.v[j];
    }
    return r;
  }
}

/// quant::codec<PerToken<int8>>, on a device.
ATOM_DEVICE float int8_scale(float top) { return top / 127.0f; }
ATOM_DEVICE int8 int8_code(float x, float scale) {
  const float q = scale > 0 ? rint(x / scale) : 0.0f;
  return static_cast<int8>(min(max(q, -127.0f), 127.0f));
}

/// quant::codec of caches, on a device.
template <class E> inline constexpr float largest_code = std::is_same_v<E, int8> ? 127.0f : 448.0f;
template <class E> ATOM_DEVICE E code_of(float x, float scale) {
  if constexpr (std::is_same_v<E, int8>) {
    return int8_code(x, scale);
  } else {
    const float q = scale > 0 ? x / scale : 0.0f;
    return fp8_e4m3(max(q, -448.0f));  // so is a NaN; what is larger becomes 448
  }
}
/// The number that an element stands for, before its scale.
template <class E> ATOM_DEVICE float number(E x) {
  if constexpr (std::is_same_v<E, fp8_e4m3>)  // as the float of the same bits, whose exponents begin 120 lower; no code is NaN
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.raw & 0x80) << 24 | static_cast<std::uint32_t>(x.raw & 0x7f) << 20) *
           0x1p120f;
  else
    return static_cast<float>(x);
}

/// Four codes of one word as what they stand for, exactly: those in bytes 0 and 2, then those in 1 and 3.
template <class E> ATOM_DEVICE vec<bf16, 4> spread(std::uint32_t codes) {
#if ATOM_GPU_NVIDIA
  struct Pairs {
    std::uint32_t of[2];
  } y;
  ATOM_UNROLL for (int odd = 0; odd < 2; ++odd) {
    std::uint32_t x, factor, summand;
    if constexpr (std::is_same_v<E, int8>) {  // 128 and the lower seven bits, less 128, or 256 for what is negative
      const std::uint32_t code = codes >> 8 * odd;
      x = (code & 0x007f007f) | 0x43004300, factor = 0x3f803f80, summand = (code & 0x00800080) | 0xc300c300;
    } else {  // as bf16 of the same bits, whose exponents begin 120 lower
      x = odd ? (codes & 0x80008000) | (codes >> 4 & 0x07f007f0) : (codes << 8 & 0x80008000) | (codes << 4 & 0x07f007f0);
      factor = 0x7b807b80, summand = 0x80008000;
    }
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y.of[odd]) : "r"(x), "r"(factor), "r"(summand));
  }
  return std::bit_cast<vec<bf16, 4>>(y);
#else
  constexpr int at[4] = {0, 2, 1, 3};
  vec<bf16, 4> y;
  ATOM_UNROLL for (int i = 0; i < 4; ++i) {
    const float x = number(std::bit_cast<E>(static_cast<std::uint8_t>(codes >> 8 * at[i])));
    y.v[i].raw = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
  }
  return y;
#endif
}

/// What is left of a row that a fused kernel quantises: value(c) gives N of its numbers, twice.
template <int N, class Cta, class Tops, class Value>
ATOM_DEVICE void quantize_row(Cta& cta, int8* q, float* scale, int cols, Tops& tops, Value value) {
  float top = 0;
  for (int c = cta.thread() * N; c < cols; c += cta.threads() * N) {
    const auto v = value(c);
    ATOM_UNROLL for (int i = 0; i < N; ++i) top = max(top, abs(static_cast<float>(v.v[i])));
  }
  const float s = int8_scale(block_max(cta, top, tops));
  for (int c = cta.thread() * N; c < cols; c += cta.threads() * N) {
    const auto v = value(c);
    vec<int8, N> codes;
    ATOM_UNROLL for (int i = 0; i < N; ++i) codes.v[i] = int8_code(static_cast<float>(v.v[i]), s);
    store<N>(q + c, codes);
  }
  if (cta.thread() == 0) *scale = s;
}

}  // namespace atom::gpu
