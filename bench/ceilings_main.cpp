// The ceilings of this machine as JSON, for scripts that report shares of them: bench_ceilings [threads]
#include <charconv>
#include <cstdio>
#include <cstring>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"

#include "ceilings.hpp"

namespace {

using atom::bench::Unit;
using atom::cpu::Isa;

struct Named {
  Unit unit;
  const char* name;
  Isa least;
};
constexpr Named units[] = {{Unit::fma256, "fma256", Isa::avx2},
                           {Unit::fma512, "fma512", Isa::avx512},
                           {Unit::int8_dot, "int8_dot", Isa::avx512_bf16},
                           {Unit::bf16_dot, "bf16_dot", Isa::avx512_bf16},
                           {Unit::amx_bf16, "amx_bf16", Isa::amx},
                           {Unit::amx_int8, "amx_int8", Isa::amx}};

int threads_from(const char* text) {
  int n = 0;
  const char* end = text + std::strlen(text);
  if (const auto r = std::from_chars(text, end, n); r.ec != std::errc{} || r.ptr != end || n < 1 || n > 1024)
    throw atom::Error(std::string("threads: ") + text + " is no number from 1 to 1024; leave it out for one per usable CPU");
  return n;
}

}  // namespace

int main(int argc, char** argv) try {
  const int threads = argc > 1 ? threads_from(argv[1]) : atom::default_threads(atom::processors());
  const Isa isa = atom::cpu::isa();  // also asks the system for AMX, before there are threads
  atom::ThreadPool pool(threads, atom::cpus_for(threads));
  constexpr std::size_t bytes = std::size_t{1} << 30;
  std::printf(R"({"threads": %d, "isa": "%s", "read_gb_per_second": %.2f, "gflops": {)", threads,
              std::string(atom::cpu::name_of(isa)).c_str(), atom::bench::read_bandwidth(pool, atom::bench::operands(bytes), bytes));
  const char* comma = "";
  for (const Named& u : units)
    if (u.least <= isa) {
      std::printf(R"(%s"%s": %.1f)", comma, u.name, atom::bench::peak(pool, u.unit));
      comma = ", ";
    }
  std::puts("}}");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_ceilings: %s\n", e.what());
  return 1;
}
