#pragma once
// Packed modules: which checkpoint tensors, in order, are the parts of one of ours.
// To extend: one row. The part sizes follow from the weight's axes. Parts of one tensor take turns in it (Width::in_turns), as do
// all parts of a weight that is in no row.
#include <string_view>

namespace atom::model {

struct Packed {
  std::string_view ours;
  std::string_view parts[4];
};

inline constexpr Packed packed_modules[] = {
    {"qkv_proj", {"q_proj", "k_proj", "v_proj"}},
    {"qkvg_proj", {"q_proj", "k_proj", "v_proj", "q_proj"}},
    {"qkv_a_proj", {"q_a_proj", "kv_a_proj_with_mqa"}},
    {"gate_up_proj", {"gate_proj", "up_proj"}},
    {"w13", {"w1", "w3"}},
};

}  // namespace atom::model
