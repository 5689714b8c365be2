// Machines that lack what the kernels need: told so, never killed by an instruction they do not know.
#include <gtest/gtest.h>
#include <string>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"

namespace atom::cpu {
namespace {

constexpr std::uint32_t bits(std::initializer_list<int> list) {
  std::uint32_t all = 0;
  for (const int b : list) all |= 1u << b;
  return all;
}

// As the processor manuals number the feature bits.
constexpr Processor haswell{.leaf1_ecx = bits({12, 27, 28, 29}), .leaf7_ebx = bits({5, 8}), .saved_state = 0x7};
constexpr Processor skylake_sp = [] {
  Processor p = haswell;
  p.leaf7_ebx |= bits({16, 17, 28, 30, 31});
  p.saved_state = 0xe7;
  return p;
}();
constexpr Processor cooper_lake = [] {
  Processor p = skylake_sp;
  p.leaf7_ecx |= bits({11});
  p.leaf7_1_eax |= bits({5});
  return p;
}();
constexpr Processor sapphire_rapids = [] {
  Processor p = cooper_lake;
  p.leaf7_edx |= bits({22, 24, 25});
  p.saved_state |= 0x60000;
  return p;
}();

std::string refusal(const Processor& p) {
  try {
    (void)level_of(p, true);
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

TEST(Bad47, EveryMachineGetsWhatItOffers) {
  EXPECT_EQ(level_of(haswell, true), Isa::avx2);
  EXPECT_EQ(level_of(skylake_sp, true), Isa::avx512);
  EXPECT_EQ(level_of(cooper_lake, true), Isa::avx512_bf16);
  EXPECT_EQ(level_of(sapphire_rapids, true), Isa::amx);
  EXPECT_EQ(level_of(sapphire_rapids, false), Isa::avx512_bf16) << "the kernel refuses the tiles";
  Processor p = skylake_sp;
  p.saved_state = 0x7;
  EXPECT_EQ(level_of(p, true), Isa::avx2) << "the operating system does not save the wide registers";
  p = sapphire_rapids;
  p.saved_state = 0xe7;
  EXPECT_EQ(level_of(p, true), Isa::avx512_bf16);
}

TEST(Bad47, LessThanAvx2IsAMessage) {
  const std::string message = "CPU: AVX2, FMA, F16C and BMI2 are required; run on an x86-64-v3 machine";
  EXPECT_EQ(refusal({}), message);
  for (const int bit : {12, 27, 28, 29}) {
    Processor p = haswell;
    p.leaf1_ecx &= ~bits({bit});
    EXPECT_EQ(refusal(p), message) << "leaf 1, bit " << bit;
  }
  for (const int bit : {5, 8}) {
    Processor p = haswell;
    p.leaf7_ebx &= ~bits({bit});
    EXPECT_EQ(refusal(p), message) << "leaf 7, bit " << bit;
  }
  Processor p = haswell;
  p.saved_state = 0x3;
  EXPECT_EQ(refusal(p), message) << "an operating system that saves SSE registers only";
  EXPECT_EQ(refusal(haswell), "");
}

TEST(Bad47, ALevelAboveTheMachineIsAMessage) {
  const auto refused = [](Isa best, const char* name) -> std::string {
    try {
      (void)at_most(best, name, "ATOM_CPU_ISA");
    } catch (const Error& e) {
      return e.what();
    }
    return {};
  };
  EXPECT_EQ(refused(Isa::avx2, "amx"), "ATOM_CPU_ISA: this machine lacks amx; use avx2 or a lower level");
  EXPECT_EQ(refused(Isa::avx512, "avx512_bf16"), "ATOM_CPU_ISA: this machine lacks avx512_bf16; use avx512 or a lower level");
  EXPECT_EQ(refused(Isa::amx, "sse2"), "ATOM_CPU_ISA: unknown level 'sse2'; use avx2, avx512, avx512_bf16 or amx");
  EXPECT_EQ(refused(Isa::amx, "avx2"), "");
  EXPECT_EQ(at_most(Isa::amx, "avx512", "x"), Isa::avx512);
}

}  // namespace
}  // namespace atom::cpu
