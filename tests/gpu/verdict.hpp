#pragma once
// What the cases of gpu_conformance share: one line per comparison, and how many failed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "noise.hpp"
#include "side.hpp"

namespace atom::test {

inline bool large = std::tuple_size_v<Backends> == 1;  // sizes as in models; the emulator and sanitizers take small ones
inline int failures = 0;

inline std::size_t size(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

template <class B> std::string_view name_of_backend() {
  if constexpr (std::is_same_v<B, Hip>)
    return "Hip";
  else
    return B::wave == 32 ? "Emu<32>" : "Emu<64>";
}

/// One comparison of a case: how far off, in the largest units of the tolerance.
class Verdict {
 public:
  explicit Verdict(std::string fault) : fault_(std::move(fault)) {}
  template <class T> Verdict& close(const std::vector<T>& got, const std::vector<T>& want, float absolute, float relative) {
    for (std::size_t i = 0; i < got.size(); ++i) {
      const auto g = static_cast<float>(got[i]), w = static_cast<float>(want[i]);
      float off = std::fabs(g - w) / (absolute + relative * std::fabs(w) + 1e-30f);
      if (!std::isfinite(g) || !std::isfinite(w)) off = (std::isnan(g) && std::isnan(w)) || g == w ? 0 : INFINITY;
      if (off > worst_) worst_ = off, at_ = i, got_ = double{g}, want_ = double{w};
    }
    return *this;
  }
  template <class T> Verdict& same(const std::vector<T>& got, const std::vector<T>& want) {
    if (identical(got, want) || worst_ == INFINITY) return *this;
    worst_ = INFINITY;
    at_ = 0;
    while (at_ + 1 < std::min(got.size(), want.size()) && std::memcmp(&got[at_], &want[at_], sizeof(T)) == 0) ++at_;
    if (!got.empty() && !want.empty()) got_ = number(got[at_]), want_ = number(want[at_]);
    return *this;
  }
  template <class B> void say(std::string_view op, const std::string& shape) const {
    const bool good = fault_.empty() && worst_ <= 1;
    failures += !good;
    std::printf("%s %-8s %-46s %-34s %5.2f of the tolerance\n", good ? "ok  " : "FAIL", name_of_backend<B>().data(),
                std::string(op).c_str(), shape.c_str(), double{worst_});
    if (!fault_.empty()) std::printf("     %s\n", fault_.c_str());
    if (!good && fault_.empty()) std::printf("     element %zu: got %.17g, reference %.17g\n", at_, got_, want_);
    std::fflush(stdout);
  }

 private:
  template <class T> static double number(const T& x) {
    if constexpr (requires { static_cast<double>(x); })
      return static_cast<double>(x);
    else
      return NAN;
  }
  std::string fault_;
  float worst_ = 0;
  std::size_t at_ = 0;
  double got_ = 0, want_ = 0;
};

inline std::string shape(std::initializer_list<int> n) {
  std::string s;
  for (int x : n) s += (s.empty() ? "" : " x ") + std::to_string(x);
  return s;
}
template <class T> inline constexpr float rounding = std::is_same_v<T, float> ? 1e-6f : 2 * ulp<T>;

}  // namespace atom::test
