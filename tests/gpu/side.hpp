#pragma once
// Side<B>: where backend B's data lies. A test's vectors go there and come back; on the emulator there is nothing to move.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/core/error.hpp"

#if defined(ATOM_GPU_CUDA) || defined(ATOM_GPU_HIP)
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/runtime.hpp"
#else
#include "atom/gpu/emu.hpp"
#endif

namespace atom::test {

template <class B> class Side;

#if defined(ATOM_GPU_CUDA) || defined(ATOM_GPU_HIP)

template <> class Side<Hip> {
 public:
  template <class T> const T* in(const std::vector<T>& v) { return static_cast<const T*>(there(v.data(), v.size() * sizeof(T))); }
  /// What a kernel writes: the vector's content goes there first and comes back in finish().
  template <class T> T* out(std::vector<T>& v) {
    void* p = there(v.data(), v.size() * sizeof(T));
    returns_.push_back({v.data(), p, v.size() * sizeof(T)});
    return static_cast<T*>(p);
  }
  /// As out(), in the host's own memory.
  template <class T> T* pinned(std::vector<T>& v) {
    const std::size_t bytes = v.size() * sizeof(T);
    pinned_.emplace_back(gpu::allocate_pinned(bytes), &gpu::release_pinned);
    std::copy(v.begin(), v.end(), static_cast<T*>(pinned_.back().get()));
    returns_.push_back({v.data(), pinned_.back().get(), bytes});
    return static_cast<T*>(pinned_.back().get());
  }
  Hip::stream stream() { return stream_; }
  /// Empty, or what went wrong.
  std::string finish() try {
    for (const auto& r : returns_) gpu::copy(r.host, r.device, r.bytes, stream_);
    stream_.wait();
    return "";
  } catch (const Error& e) {
    return e.what();
  }

 private:
  void* there(const void* data, std::size_t bytes) {
    held_.emplace_back(bytes);
    gpu::copy(held_.back().data(), data, bytes, stream_);
    return held_.back().data();
  }
  struct Return {
    void* host;
    const void* device;
    std::size_t bytes;
  };
  gpu::Stream stream_;
  std::vector<gpu::Buffer<unsigned char>> held_;
  std::vector<std::unique_ptr<void, void (*)(void*) noexcept>> pinned_;
  std::vector<Return> returns_;
};
using Backends = std::tuple<Hip>;
inline void require_device() { gpu::require_device(); }
/// body() with own kernels for products of many rows, and with the vendor's library where it is installed.
template <class Body> void with_each_gemm(Body body) {
  for (const auto which : {gpu::Gemm::own, gpu::Gemm::automatic}) {
    gpu::use_gemm(which);
    body();
  }
}

#else

template <int W> class Side<Emu<W>> {
 public:
  template <class T> const T* in(const std::vector<T>& v) { return v.data(); }
  template <class T> T* out(std::vector<T>& v) { return v.data(); }
  template <class T> T* pinned(std::vector<T>& v) { return v.data(); }
  gpu::emu::Machine* stream() { return &machine_; }
  std::string finish() { return machine_.fault(); }

 private:
  gpu::emu::Machine machine_{1};
};
using Backends = std::tuple<Emu<32>, Emu<64>>;
inline void require_device() {}
template <class Body> void with_each_gemm(Body body) { body(); }

#endif

}  // namespace atom::test
