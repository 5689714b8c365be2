#include "atom/gpu/gemm.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <dlfcn.h>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/gpu/runtime.hpp"

namespace atom::gpu {
namespace {

// The two libraries differ in names and numbers alone.
#if defined(ATOM_GPU_CUDA)
constexpr const char* product_name = "cuBLASLt";
constexpr const char* prefix = "cublasLt";
constexpr std::initializer_list<const char*> files = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
constexpr int compute_float = 68, transposed = 1, attribute_transpose_a = 3, attribute_columns = 3, attribute_stride = 4;
constexpr std::initializer_list<int> attributes_alignment = {5, 6, 7, 8};
constexpr bool names_parts = true;
constexpr std::size_t algorithm_bytes = 64;
#else
constexpr const char* product_name = "hipBLASLt";
constexpr const char* prefix = "hipblasLt";
constexpr std::initializer_list<const char*> files = {"libhipblaslt.so.1", "libhipblaslt.so.0", "libhipblaslt.so"};
constexpr int compute_float = 2, transposed = 112, attribute_transpose_a = 0, attribute_columns = 5, attribute_stride = 6;
constexpr std::initializer_list<int> attributes_alignment = {};
constexpr bool names_parts = false;
constexpr std::size_t algorithm_bytes = 24;
#endif
constexpr int type_float = 0, type_bf16 = 14, attribute_workspace = 1, attribute_parts = 3;
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
constexpr std::uint32_t alignment = 16;                 // of operands
constexpr std::uint32_t no_parts = 0, float_parts = 2;  // of sums: never rounded to the output's type

struct Algorithm {
  alignas(8) unsigned char data[algorithm_bytes];
};
struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
using Handle = void*;

struct Functions {
  int (*create)(Handle*);
  int (*desc_create)(void**, int compute, int scale);
  int (*desc_set)(void*, int attribute, const void*, std::size_t);
  int (*layout_create)(void**, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t stride);
  int (*layout_set)(void*, int attribute, const void*, std::size_t);
  int (*preference_create)(void**);
  int (*preference_set)(void*, int attribute, const void*, std::size_t);
  int (*heuristic)(Handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted, Heuristic*, int* found);
  int (*multiply)(Handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b, void* b_layout,
                  const void* beta, const void* c, void* c_layout, void* d, void* d_layout, const Algorithm*, void* workspace,
                  std::size_t workspace_bytes, void* stream);
};

void* open_library() {
  for (const char* file : files)
    if (void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

/// Rows fall into ranges that share an algorithm: up to 32, 48, 64, 96, 128, ...
constexpr int ranges = 24;
constexpr int last_of(int range) { return (range % 2 == 0 ? 32 : 48) << (range / 2); }
constexpr int range_of(int rows) {
  int r = 0;
  while (r + 1 < ranges && last_of(r) < rows) ++r;
  return r;
}

/// One library, one device. What it makes lives as long as the process.
class Library {
 public:
  /// Throws atom::Error.
  Library() {
    void* file = open_library();
    if (!file) throw Error(std::string(product_name) + " is not installed");
    const auto load = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(file, (std::string(prefix) + name).c_str()));
      if (!function) throw Error(std::string(product_name) + ": there is no " + prefix + name);
    };
    load(f_.create, "Create");
    load(f_.desc_create, "MatmulDescCreate");
    load(f_.desc_set, "MatmulDescSetAttribute");
    load(f_.layout_create, "MatrixLayoutCreate");
    load(f_.layout_set, "MatrixLayoutSetAttribute");
    load(f_.preference_create, "MatmulPreferenceCreate");
    load(f_.preference_set, "MatmulPreferenceSetAttribute");
    load(f_.heuristic, "MatmulAlgoGetHeuristic");
    load(f_.multiply, "Matmul");
    require(f_.create(&handle_), "handle");
    require(f_.desc_create(&desc_, compute_float, type_float), "description");
    require(f_.desc_set(desc_, attribute_transpose_a, &transposed, sizeof transposed), "description");
    require(f_.preference_create(&preference_), "preferences");
    const std::uint64_t bytes = workspace_bytes;
    require(f_.preference_set(preference_, attribute_workspace, &bytes, sizeof bytes), "preferences");
    for (const int attribute : attributes_alignment)
      require(f_.preference_set(preference_, attribute, &alignment, sizeof alignment), "preferences");
    workspace_ = allocate(workspace_bytes, product_name);
  }

  bool serves(const Product& p) { return plan_of(p).served[static_cast<std::size_t>(range_of(p.rows))]; }
  bool multiply(Hip::stream stream, const Product& p) {
    Plan& plan = plan_of(p);
    const auto range = static_cast<std::size_t>(range_of(p.rows));
    const auto rows = static_cast<std::uint64_t>(p.rows);
    const std::int64_t ldx = p.ldx, ldy = p.ldy;
    f_.layout_set(plan.x, attribute_columns, &rows, sizeof rows);
    f_.layout_set(plan.x, attribute_stride, &ldx, sizeof ldx);
    f_.layout_set(plan.y, attribute_columns, &rows, sizeof rows);
    f_.layout_set(plan.y, attribute_stride, &ldy, sizeof ldy);
    const float alpha = 1, beta = p.adds ? 1 : 0;
    return f_.multiply(handle_, desc_, &alpha, p.w, plan.w, p.x, plan.x, &beta, p.y, plan.y, p.y, plan.y, &plan.algorithm[range],
                       workspace_, workspace_bytes, stream) == 0;
  }

 private:
  // In the library's columns: y (out, rows) = wᵀ (in, out)ᵀ · x (in, rows).
  struct Plan {
    int out, in;
    bool float_out;
    void *w = nullptr, *x = nullptr, *y = nullptr;
    std::array<bool, ranges> served{};
    std::array<Algorithm, ranges> algorithm{};
  };
  static void require(int status, const char* what) {
    if (status != 0) throw Error(std::string(product_name) + ": " + what + ": status " + std::to_string(status));
  }
  /// The library's first choice for so many rows, with parts of sums or without.
  std::optional<Heuristic> choice(const Plan& plan, int rows, std::uint32_t parts) {
    const auto columns = static_cast<std::uint64_t>(rows);
    Heuristic best{};
    int found = 0;
    f_.layout_set(plan.x, attribute_columns, &columns, sizeof columns);
    f_.layout_set(plan.y, attribute_columns, &columns, sizeof columns);
    if (names_parts && f_.preference_set(preference_, attribute_parts, &parts, sizeof parts) != 0) return {};
    if (f_.heuristic(handle_, desc_, plan.w, plan.x, plan.y, plan.y, preference_, 1, &best, &found) != 0) return {};
    return found > 0 && best.state == 0 ? std::optional(best) : std::nullopt;
  }
  Plan& plan_of(const Product& p) {
    for (const auto& plan : plans_)
      if (plan->out == p.out && plan->in == p.in && plan->float_out == p.float_out) return *plan;
    Plan& plan = *plans_.emplace_back(std::make_unique<Plan>(Plan{.out = p.out, .in = p.in, .float_out = p.float_out}));
    const auto out = static_cast<std::uint64_t>(p.out), in = static_cast<std::uint64_t>(p.in);
    if (f_.layout_create(&plan.w, type_bf16, in, out, p.in) != 0 || f_.layout_create(&plan.x, type_bf16, in, 1, p.ldx) != 0 ||
        f_.layout_create(&plan.y, p.float_out ? type_float : type_bf16, out, 1, p.ldy) != 0)
      return plan;
    for (int range = 0; range < ranges; ++range) {
      const auto i = static_cast<std::size_t>(range);
      const int rows = last_of(range);
      auto best = choice(plan, rows, float_parts);
      // Sums in one piece need no launch behind the product: faster for few rows, if most of the device is busy with them.
      const auto whole = names_parts && rows <= 64 ? choice(plan, rows, no_parts) : std::nullopt;
      if (whole && whole->waves >= 0.7f) best = whole;
      plan.served[i] = best.has_value();
      if (best) plan.algorithm[i] = best->algorithm;
    }
    return plan;
  }

  Functions f_{};
  Handle handle_ = nullptr;
  void *desc_ = nullptr, *preference_ = nullptr, *workspace_ = nullptr;
  std::vector<std::unique_ptr<Plan>> plans_;
};

std::unique_ptr<Library> library;  // in use; its plans go with it
bool in_use = false;

}  // namespace

void use_gemm(Gemm which) {
  in_use = false;
  if (which == Gemm::own) return;
  try {
    if (!library) library = std::make_unique<Library>();
    in_use = true;
  } catch (const Error& e) {
    if (which == Gemm::vendor) throw Error("--gpu-gemm vendor: " + std::string(e.what()) + "; install it, or use auto or own");
  }
}

std::size_t gemm_workspace(Gemm which) { return which == Gemm::own || !open_library() ? 0 : workspace_bytes; }

std::string gemm_library() {
  void* file = open_library();
  if (!file) return std::string("own kernels: ") + product_name + " is not installed";
#if defined(ATOM_GPU_CUDA)
  if (auto* version = reinterpret_cast<std::size_t (*)()>(dlsym(file, "cublasLtGetVersion")))
    return std::string(product_name) + " " + std::to_string(version() / 10000) + "." + std::to_string(version() / 100 % 100);
#endif
  return product_name;
}

bool vendor_serves(const Product& p) noexcept {
  const bool aligned = std::bit_cast<std::uintptr_t>(p.y) % alignment == 0 && p.ldx % 8 == 0 && p.in % 8 == 0 && p.ldy % 8 == 0;
  return in_use && aligned && library->serves(p);
}
bool vendor_gemm(Hip::stream stream, const Product& p) noexcept { return library->multiply(stream, p); }

}  // namespace atom::gpu
