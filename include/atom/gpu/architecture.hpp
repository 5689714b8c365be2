#pragma once
// Which chips a program's kernels run on, asked before one of them is launched: a runtime's own answer may be the end of the
// program.
#include <string_view>

namespace atom::gpu {

/// As ATOM_GPU_ARCH names a device's chip: "gfx942" of "gfx942:sramecc+:xnack-", "90" of "sm_90".
constexpr std::string_view chip_of(std::string_view architecture) noexcept {
  if (architecture.starts_with("sm_")) architecture.remove_prefix(3);
  return architecture.substr(0, architecture.find(':'));
}

/// Whether kernels for `compiled`, chips of ATOM_GPU_ARCH ("gfx90a,gfx942", "80,90a"), run on a device of `architecture`. AMD's
/// run on their own chip; NVIDIA's also on later ones of the same generation (8.6 runs 8.0), but for those that end in a letter.
constexpr bool serves(std::string_view compiled, std::string_view architecture) noexcept {
  const auto chip = chip_of(architecture);
  const auto number = [](std::string_view digits) {
    int n = 0;
    for (char c : digits) n = n * 10 + (c - '0');
    return n;
  };
  while (!compiled.empty()) {
    const auto one = compiled.substr(0, compiled.find(','));
    compiled.remove_prefix(one.size() + (one.size() < compiled.size()));
    auto own = chip_of(one);
    if (own == chip) return true;
    if (!architecture.starts_with("sm_") || own.empty()) continue;
    if (own.back() == 'f') own.remove_suffix(1);  // of its family
    const bool alone = own.back() >= 'a' && own.back() <= 'z';
    if (alone && own.substr(0, own.size() - 1) == chip) return true;
    if (!alone && number(own) / 10 == number(chip) / 10 && number(own) <= number(chip)) return true;
  }
  return false;
}

}  // namespace atom::gpu
