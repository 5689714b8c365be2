#pragma once
// gpu::array: the only way into shared memory.
// One idea: on a device it is a plain array and compiles to nothing else; on the emulator every access is checked: bounds, a
// value that nobody wrote, data that another thread wrote or reads with no barrier between, a copy that is still in flight.
// To extend: another access is a member here that says what it touches (emu::touch).
#include "atom/gpu/port.hpp"

namespace atom::gpu {

/// (Rows, Cols) of T in shared memory; one row unless said otherwise. Rows of vectors: Cols a multiple of N.
template <class T, int First, int Second = 0> class array {
  static_assert(sizeof(T) <= 16);
  static constexpr int rows_ = Second ? First : 1, cols_ = Second ? Second : First;

 public:
  static constexpr int rows() { return rows_; }
  static constexpr int cols() { return cols_; }

#if ATOM_GPU_EMULATED
  using Site = emu::Site;
  T get(int c, Site s = Site::current()) const { return get(0, c, s); }
  T get(int r, int c, Site s = Site::current()) const { return *touch<1>(r, c, emu::Access::read, s); }
  void set(int c, T v, Site s = Site::current()) { set(0, c, v, s); }
  void set(int r, int c, T v, Site s = Site::current()) { *const_cast<T*>(touch<1>(r, c, emu::Access::write, s)) = v; }
  template <int N> vec<T, N> load(int r, int c, Site s = Site::current()) const {
    return gpu::load<N>(touch<N>(r, c, emu::Access::read, s));
  }
  template <int N> void store(int r, int c, const vec<T, N>& v, Site s = Site::current()) {
    gpu::store<N>(const_cast<T*>(touch<N>(r, c, emu::Access::write, s)), v);
  }
  template <class Cta> T atomic_add(Cta&, int c, T v, Site s = Site::current()) {
    T* p = const_cast<T*>(touch<1>(0, c, emu::Access::atomic, s));
    const T before = *p;
    *p += v;
    return before;
  }
  /// An element's place, for who says by other means what becomes of it (atom/gpu/bulk.hpp).
  T* place_of(int r, int c) { return v_ + std::ptrdiff_t{r} * cols_ + c; }
  /// Where an asynchronous copy of N elements lands.
  template <int N> T* target(int r, int c, Site s = Site::current()) {
    return const_cast<T*>(touch<N>(r, c, emu::Access::copy, s));
  }

 private:
  template <int N> const T* touch(int r, int c, emu::Access how, Site s) const {
    emu::check_index(r, c, N, rows_, cols_, s);
    const T* p = v_ + std::ptrdiff_t{r} * cols_ + c;
    emu::touch(p, sizeof(T), N, how, s);
    return p;
  }
#else
  ATOM_DEVICE T get(int c) const { return v_[c]; }
  ATOM_DEVICE T get(int r, int c) const { return v_[r * cols_ + c]; }
  ATOM_DEVICE void set(int c, T v) { v_[c] = v; }
  ATOM_DEVICE void set(int r, int c, T v) { v_[r * cols_ + c] = v; }
  template <int N> ATOM_DEVICE vec<T, N> load(int r, int c) const { return gpu::load<N>(v_ + r * cols_ + c); }
  template <int N> ATOM_DEVICE void store(int r, int c, const vec<T, N>& v) { gpu::store<N>(v_ + r * cols_ + c, v); }
  template <class Cta> ATOM_DEVICE T atomic_add(Cta& cta, int c, T v) { return cta.atomic_add(v_ + c, v); }
  template <int N> ATOM_DEVICE T* target(int r, int c) { return v_ + r * cols_ + c; }
  ATOM_DEVICE T* place_of(int r, int c) { return v_ + r * cols_ + c; }

 private:
#endif
  alignas(16) T v_[static_cast<std::size_t>(rows_) * cols_];
};

/// The same for tiles that are written in rows and read in columns of 8: within a row, vectors of 8 change places by the row, so
/// that equal columns of neighbouring rows lie in different banks. N divides 8; Cols is a multiple of 64.
template <class T, int Rows, int Cols> class swizzled {
  static_assert(sizeof(T) == 2 && Cols % 64 == 0);
  ATOM_DEVICE static int place(int r, int c) { return (c & ~63) + ((c ^ ((r & 7) * 8)) & 63); }

 public:
  static constexpr int rows() { return Rows; }
  static constexpr int cols() { return Cols; }
  ATOM_DEVICE T* place_of(int r, int c) { return v_.place_of(r, place(r, c)); }

#if ATOM_GPU_EMULATED
  using Site = emu::Site;
  T get(int r, int c, Site s = Site::current()) const { return v_.get(r, place(r, c), s); }
  void set(int r, int c, T v, Site s = Site::current()) { v_.set(r, place(r, c), v, s); }
  template <int N> vec<T, N> load(int r, int c, Site s = Site::current()) const { return v_.template load<N>(r, place(r, c), s); }
  template <int N> void store(int r, int c, const vec<T, N>& v, Site s = Site::current()) {
    v_.template store<N>(r, place(r, c), v, s);
  }
  template <int N> T* target(int r, int c, Site s = Site::current()) { return v_.template target<N>(r, place(r, c), s); }
#else
  ATOM_DEVICE T get(int r, int c) const { return v_.get(r, place(r, c)); }
  ATOM_DEVICE void set(int r, int c, T v) { v_.set(r, place(r, c), v); }
  template <int N> ATOM_DEVICE vec<T, N> load(int r, int c) const { return v_.template load<N>(r, place(r, c)); }
  template <int N> ATOM_DEVICE void store(int r, int c, const vec<T, N>& v) { v_.template store<N>(r, place(r, c), v); }
  template <int N> ATOM_DEVICE T* target(int r, int c) { return v_.template target<N>(r, place(r, c)); }
#endif

 private:
  array<T, Rows, Cols> v_;
};

/// Every thread gets the block's sum, added wave by wave. `partial` has room for one number per wave; the caller's next use of it
/// needs a barrier in front.
template <class Cta, int N> ATOM_DEVICE float block_sum(Cta& cta, float v, array<float, N>& partial) {
  static_assert(N >= Cta::waves());
  v = wave_sum(cta, v);
  if (cta.lane() == 0) partial.set(cta.wave_id(), v);
  cta.sync();
  float sum = 0;
  for (int w = 0; w < Cta::waves(); ++w) sum += partial.get(w);
  return sum;
}
template <class Cta, int N> ATOM_DEVICE float block_max(Cta& cta, float v, array<float, N>& partial) {
  static_assert(N >= Cta::waves());
  v = wave_max(cta, v);
  if (cta.lane() == 0) partial.set(cta.wave_id(), v);
  cta.sync();
  float top = partial.get(0);
  for (int w = 1; w < Cta::waves(); ++w) top = max(top, partial.get(w));
  return top;
}

}  // namespace atom::gpu
