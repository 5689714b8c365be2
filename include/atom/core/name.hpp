#pragma once
// Name: a short text made at compile time. Kernel keys, schemes and builds say their own names, so that traces, benches and
// messages read the same whatever the compiler.
// To extend: specialise type_name for your element type, or give your scheme or key a `name()`.
#include <initializer_list>
#include <string_view>

#include "atom/core/dtype.hpp"

namespace atom {

class Name {
 public:
  constexpr Name() = default;
  constexpr Name(std::initializer_list<std::string_view> parts) {
    for (auto p : parts) *this += p;
  }
  constexpr Name& operator+=(std::string_view p) {
    for (char c : p) text_[size_++] = c;  // a name that is too long does not compile
    return *this;
  }
  constexpr operator std::string_view() const { return {text_, size_}; }

 private:
  char text_[96]{};
  unsigned size_ = 0;
};

constexpr Name name_of_int(int n) {
  Name r;
  if (n < 0) return {"dynamic"};
  char digits[12]{};
  int i = 12;
  do digits[--i] = static_cast<char>('0' + n % 10);
  while (n /= 10);
  r += std::string_view(digits + i, static_cast<std::size_t>(12 - i));
  return r;
}

template <class T> inline constexpr std::string_view type_name = "?";
template <> inline constexpr std::string_view type_name<float> = "f32";
template <> inline constexpr std::string_view type_name<bf16> = "bf16";
template <> inline constexpr std::string_view type_name<fp16> = "fp16";
template <> inline constexpr std::string_view type_name<int8> = "int8";
template <> inline constexpr std::string_view type_name<fp8_e4m3> = "fp8_e4m3";

}  // namespace atom
