#pragma once
// Which kernel multiplies few rows by weights, and in what tiles: what gpu::few_rows() promises.
// One idea: all of the device asks for weights all the time; measured on an H100 (gpu_times linear, joined).
#include "several.hpp"
#include "skinny.hpp"
#if !ATOM_GPU_AMD
#include "streamed.hpp"
#endif

namespace atom::gpu {

/// Few blocks have many waves each. Who normalises needs as many as keep x.
template <class Tail, bool Normed, class B, class Y> void skinny(typename B::stream stream, const SkinnyArgs<Y>& args) {
  const auto& a = args.p;
  const Grid grid{ceil_div(a.out, 16), 1};
  constexpr int most = wave_of<B> == 32 ? 1024 : 512;  // CDNA has less shared memory
  if (grid.x <= 128 && a.in >= 1024)                   // about one for each multiprocessor
    return launch<Skinny<Y, most, Tail, Normed>, B>(stream, grid, args);
  if (Normed || a.in >= 512) return launch<Skinny<Y, 512, Tail, Normed>, B>(stream, grid, args);
  if constexpr (!Normed) launch<Skinny<Y, 256, Tail, Normed>, B>(stream, grid, args);
}

/// Up to 8 rows of few outputs, or of very many, are Skinny's. Several's tiles are as small as they can be for one block to a
/// multiprocessor: it reads as fast as it can when all of them ask for weights, each for as many as its shared memory holds, and no
/// block waits for another's place. A short k is on its way at once, from tiles that leave room for the kernels around them. Where
/// even large tiles are too many, or x is small beside them, smaller blocks take turns. CDNA has less shared memory, and waits for
/// copies where it asks for them.
template <class Tail, class B, class Y> void few_rows_product(typename B::stream stream, const SeveralArgs<Y>& a) {
  constexpr bool gated = halves<Tail> == 2, written = Written<Tail>, less = wave_of<B> == 64;
  if (a.rows <= 8 && (less || !whole_vectors<Tail>(a) || (!gated && (one_each(a.out, 16) || !one_each(a.out, 48)))))
    return skinny<Tail, false, B>(stream, SkinnyArgs<Y>{a, nullptr, 0, a.best});
  if constexpr (!gated && !less)
    if (streamed<B>(a.rows, a.out)) return streamed_product<Tail, B>(stream, a);
  const auto run = [&]<class K>(K) { launch<K, B>(stream, {ceil_div(a.out, K::outs), 1}, a); };
  const auto up_to = [&]<int Rows>(std::integral_constant<int, Rows>) {
    constexpr bool more = Rows > 16;
    if constexpr (less) {
      if constexpr (!gated)
        if (one_each(a.out, 16)) return run(Several<Y, Rows, 16, 128, 1, 4, 2, Tail>{});
      return run(Several<Y, Rows, (gated ? 32 : 48), 64, 1, 4, 2, Tail>{});
    } else if constexpr (gated) {
      if (more && wide(a.out)) return run(Several<Y, 32, 192, 128, 6, 2, 4, Tail>{});
      return run(Several<Y, Rows, 32, 256, 1, 8, 4 - more, Tail>{});
    } else {
      if (short_k(a.out, a.in)) return run(Several<Y, Rows, (more ? 32 : 48), 256, 1, 8, 4, Tail>{});
      if (one_each(a.out, 16)) return run(Several<Y, Rows, 16, 512, 1, 8, 4 - more, Tail>{});
      if (one_each(a.out, 32)) return run(Several<Y, Rows, 32, (more ? 256 : 512), 1, 8, (more ? 6 : 4), Tail>{});
      if (one_each(a.out, 48)) return run(Several<Y, Rows, 48, 256, 1, 8, (more ? 4 : 6), Tail>{});
      return run(Several<Y, Rows, 48, 128, 1, 4, 6 - more, Tail>{});
    }
  };
  if (a.rows <= 16) return up_to(std::integral_constant<int, 16>{});
  if (a.rows <= 32) return up_to(std::integral_constant<int, 32>{});
  if constexpr (gated || written) {  // few_rows() sends no other tail here
    if (wide(a.out))
      return run(std::conditional_t<less, Several<Y, 64, 64, 64, 2, 2, 2, Tail>, Several<Y, 64, 192, 128, 6, 2, 3, Tail>>{});
    run(std::conditional_t<less, Several<Y, 64, 32, 64, 1, 4, 2, Tail>, Several<Y, 64, 32, 128, 1, 4, (gated ? 4 : 5), Tail>>{});
  }
}

}  // namespace atom::gpu
