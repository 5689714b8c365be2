#include "atom/core/cpu_features.hpp"

#include <atomic>
#include <cpuid.h>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#include "atom/core/error.hpp"

namespace atom::cpu {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // a leaf the CPU lacks leaves zeros
  return r;
}

constexpr bool has(unsigned reg, std::initializer_list<int> bits) {
  for (int b : bits)
    if ((reg >> b & 1) == 0) return false;
  return true;
}

/// Which register files the operating system saves: XCR0.
std::uint64_t saved_state() {
  std::uint32_t lo = 0, hi = 0;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return std::uint64_t{hi} << 32 | lo;
}

/// Linux hands out the 8 KiB tile registers only on request, once per process, inherited by threads started later.
bool request_tiles() {
  constexpr long arch_req_xcomp_perm = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0;
}

constexpr std::string_view names[] = {"avx2", "avx512", "avx512_bf16", "amx"};

Isa parse(std::string_view name, std::string_view where) {
  for (std::size_t i = 0; i < std::size(names); ++i)
    if (names[i] == name) return static_cast<Isa>(i);
  throw Error(std::string(where) + ": unknown level '" + std::string(name) + "'; use avx2, avx512, avx512_bf16 or amx");
}

Isa checked(Isa best, Isa wanted, std::string_view where) {
  if (wanted <= best) return wanted;
  throw Error(std::string(where) + ": this machine lacks " + std::string(name_of(wanted)) + "; use " + std::string(name_of(best)) +
              " or a lower level");
}

constexpr int undecided = -1;
std::atomic<int> in_force{undecided};

}  // namespace

std::string_view name_of(Isa isa) noexcept { return names[static_cast<std::size_t>(isa)]; }

Isa level_of(const Processor& p, bool tiles) {
  constexpr std::uint64_t ymm = 0x6, zmm = 0xe6, tile_state = 0x60000;
  const bool avx2 = has(p.leaf1_ecx, {12, 27, 28, 29}) && has(p.leaf7_ebx, {5, 8}) && (p.saved_state & ymm) == ymm;
  if (!avx2) throw Error("CPU: AVX2, FMA, F16C and BMI2 are required; run on an x86-64-v3 machine");  // FMA OSXSAVE AVX F16C, ...
  if (!has(p.leaf7_ebx, {16, 17, 28, 30, 31}) || (p.saved_state & zmm) != zmm) return Isa::avx2;      // F DQ CD BW VL
  if (!has(p.leaf7_1_eax, {5}) || !has(p.leaf7_ecx, {11})) return Isa::avx512;                        // BF16, VNNI
  if (!has(p.leaf7_edx, {22, 24, 25}) || (p.saved_state & tile_state) != tile_state) return Isa::avx512_bf16;  // BF16 TILE INT8
  return tiles ? Isa::amx : Isa::avx512_bf16;
}

Isa at_most(Isa best, std::string_view name, std::string_view where) { return checked(best, parse(name, where), where); }

Isa detect() {
  const Registers basic = cpuid(1, 0), ext = cpuid(7, 0), ext1 = cpuid(7, 1);
  const bool xgetbv = has(basic.ecx, {27});
  const Processor p{basic.ecx, ext.ebx, ext.ecx, ext.edx, ext1.eax, xgetbv ? saved_state() : 0};
  if (level_of(p, true) < Isa::amx) return level_of(p, true);  // asks for no tiles where there are none
  static const bool granted = request_tiles();
  return level_of(p, granted);
}

Isa isa() {
  int level = in_force.load(std::memory_order_relaxed);
  if (level == undecided) {
    const char* forced = std::getenv("ATOM_CPU_ISA");
    const Isa best = detect();
    level = static_cast<int>(forced ? at_most(best, forced, "ATOM_CPU_ISA") : best);
    in_force.store(level, std::memory_order_relaxed);
  }
  return static_cast<Isa>(level);
}

void set_isa(Isa isa) { in_force.store(static_cast<int>(checked(detect(), isa, "--cpu-isa")), std::memory_order_relaxed); }
void set_isa(std::string_view name) { set_isa(parse(name, "--cpu-isa")); }

}  // namespace atom::cpu
