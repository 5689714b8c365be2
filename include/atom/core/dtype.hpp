#pragma once
// Storage types: how a number lies in memory. Arithmetic happens in float; these only know how to store.
// One idea: a dtype is a distinct C++ type, so a wrong pointer does not compile; `DType` is its run-time name for files.
// To extend: add the struct with its two conversions, a DType enumerator, and a row in dtype_of.
#include <bit>
#include <cstdint>
#include <string_view>

namespace atom {

/// bfloat16: the upper half of a float, rounded to nearest even; every NaN becomes the quiet NaN 0x7fc0.
struct bf16 {
  std::uint16_t raw = 0;
  constexpr bf16() = default;
  constexpr explicit bf16(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    raw = f != f ? std::uint16_t{0x7fc0} : static_cast<std::uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  constexpr operator float() const { return std::bit_cast<float>(std::uint32_t{raw} << 16); }
};

/// IEEE binary16, rounded to nearest even; overflow becomes infinity.
struct fp16 {
  std::uint16_t raw = 0;
  constexpr fp16() = default;
  constexpr explicit fp16(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000);
    const std::uint32_t mag = u & 0x7fffffff;
    if (mag > 0x7f800000) {
      raw = static_cast<std::uint16_t>(sign | 0x7e00);
    } else if (mag >= 0x477ff000) {  // rounds to 65536 or more
      raw = static_cast<std::uint16_t>(sign | 0x7c00);
    } else if (mag < 0x38800000) {  // subnormal: let float addition do the rounding at the right bit
      raw = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(std::bit_cast<float>(mag) + 0.5f) - 0x3f000000));
    } else {
      raw = static_cast<std::uint16_t>(sign | ((mag - 0x38000000 + 0xfff + ((mag >> 13) & 1)) >> 13));
    }
  }
  constexpr operator float() const {
    const std::uint32_t sign = std::uint32_t{raw} << 16 & 0x80000000, exp = raw >> 10 & 31, man = raw & 1023;
    if (exp == 0) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(man) * 0x1p-24f));
    return std::bit_cast<float>(sign | (exp == 31 ? 0x7f800000 : (exp + 112) << 23) | man << 13);
  }
};

/// OCP FP8 E4M3, rounded to nearest even: no infinities, what is larger than 448 becomes 448; NaN stays one.
struct fp8_e4m3 {
  std::uint8_t raw = 0;
  constexpr fp8_e4m3() = default;
  constexpr explicit fp8_e4m3(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    const std::uint32_t sign = u >> 24 & 0x80, mag = u & 0x7fffffff;
    std::uint32_t code;
    if (mag > 0x7f800000) {
      code = 0x7f;
    } else if (mag >= 0x43e00000) {  // 448
      code = 0x7e;
    } else if (mag < 0x3c800000) {  // subnormal, as in fp16
      code = std::bit_cast<std::uint32_t>(std::bit_cast<float>(mag) + 0x1p14f) - 0x46800000;
    } else {
      code = (mag - 0x3c000000 + 0x7ffff + ((mag >> 20) & 1)) >> 20;
    }
    raw = static_cast<std::uint8_t>(sign | code);
  }
  constexpr operator float() const {
    const std::uint32_t sign = std::uint32_t{raw} << 24 & 0x80000000, exp = raw >> 3 & 15, man = raw & 7;
    if ((raw & 0x7f) == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000);
    if (exp == 0) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(man) * 0x1p-9f));
    return std::bit_cast<float>(sign | (exp + 120) << 23 | man << 20);
  }
};

using int8 = std::int8_t;

/// The run-time name of an element type, as files spell it.
enum class DType : unsigned char { f32, f16, bf16, i8, u8, i32, i64, f64, boolean, other };

template <class T> inline constexpr DType dtype_of = DType::other;
template <> inline constexpr DType dtype_of<float> = DType::f32;
template <> inline constexpr DType dtype_of<fp16> = DType::f16;
template <> inline constexpr DType dtype_of<bf16> = DType::bf16;
template <> inline constexpr DType dtype_of<int8> = DType::i8;
template <> inline constexpr DType dtype_of<std::int32_t> = DType::i32;
template <> inline constexpr DType dtype_of<std::int64_t> = DType::i64;

/// Bytes of one element; 0 for `other`.
constexpr int size_of(DType t) {
  switch (t) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean: return 1;
    case DType::other: break;
  }
  return 0;
}

constexpr std::string_view name_of(DType t) {
  switch (t) {
    case DType::f32: return "F32";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::i8: return "I8";
    case DType::u8: return "U8";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::f64: return "F64";
    case DType::boolean: return "BOOL";
    case DType::other: break;
  }
  return "?";
}

}  // namespace atom
