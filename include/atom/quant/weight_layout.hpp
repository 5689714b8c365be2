#pragma once
// WeightLayout: where a kernel wants the elements of a weight matrix.
// One idea: the layout lives beside the kernel that needs it (impl<linear<...>, Backend>::layout()); the loader only copies
// rows through `put`, once, so a weight exists in memory in exactly one form.
// To extend: give your specialisation a static `const WeightLayout& layout()`. Without one, weights stay row-major, and the
// loader leaves them in the mapped file where it can.
#include <cstddef>

namespace atom::quant {

struct WeightRows {
  const void* data;       // (count, in) elements of the scheme's weight type, naturally aligned, row stride in elements below
  std::ptrdiff_t stride;  // elements
  int first, count;       // which rows of the target these are
};

struct WeightLayout {
  std::size_t (*bytes)(int out, int in);  ///< size of the whole target, padding included; the target is zeroed and 64-byte aligned
  void (*put)(void* target, int out, int in, const WeightRows& rows);
  int row_block;  ///< concurrent put() calls must not share a block of this many rows
};

/// The layout a kernel asks for, or nullptr: row-major as in the file.
template <class Kernel> const WeightLayout* layout_of() {
  if constexpr (requires { Kernel::layout(); })
    return &Kernel::layout();
  else
    return nullptr;
}

}  // namespace atom::quant
