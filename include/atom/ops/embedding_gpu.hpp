#pragma once
// embed, gather_rows, transfer and join_rows on GPU backends: declarations; defined and instantiated in
// src/kernels/gpu/embedding.hip.
#include "atom/ops/embedding_op.hpp"
#include "atom/ops/gpu_types.hpp"

namespace atom {

template <gpu::Table W, gpu::Activation T, gpu::Target B> struct impl<kernels::embed<W, T>, B> {
  static void run(typename B::stream stream, const typename kernels::embed<W, T>::args& a) noexcept;
};

template <gpu::Activation T, gpu::Target B> struct impl<kernels::gather_rows<T>, B> {
  static void run(typename B::stream stream, const typename kernels::gather_rows<T>::args& a) noexcept;
};

template <gpu::Target B> struct impl<kernels::transfer, B> {
  static void run(typename B::stream stream, const kernels::transfer::args& a) noexcept;
};

template <gpu::Activation T, gpu::Target B> struct impl<kernels::join_rows<T>, B> {
  static void run(typename B::stream stream, const typename kernels::join_rows<T>::args& a) noexcept;
};

}  // namespace atom
