#pragma once
// What the golden tests share: logits of a whole prompt, and how far two sets of them are apart.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "atom/engine/config.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"

namespace atom::test {

using namespace engine;

struct Difference {
  double worst = 0, relative = 0;  // max |difference|, relative L2
};
inline Difference difference(const std::vector<float>& got, const std::vector<float>& want) {
  Difference d;
  double num = 0, den = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = double{got[i]} - double{want[i]};
    d.worst = std::isfinite(e) ? std::fmax(d.worst, std::fabs(e)) : double{INFINITY};
    num += e * e;
    den += double{want[i]} * double{want[i]};
  }
  d.relative = std::sqrt(num / den);
  return d;
}

/// The median of the rows' relative differences.
inline double median_difference(const std::vector<float>& got, const std::vector<float>& want, std::size_t vocab) {
  std::vector<double> rows;
  for (auto g = got.begin(), w = want.begin(); g != got.end();
       g += static_cast<std::ptrdiff_t>(vocab), w += static_cast<std::ptrdiff_t>(vocab))
    rows.push_back(difference({g, g + static_cast<std::ptrdiff_t>(vocab)}, {w, w + static_cast<std::ptrdiff_t>(vocab)}).relative);
  std::nth_element(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2), rows.end());
  return rows[rows.size() / 2];
}

inline ExecutorOptions options(const std::string& dir, const char* backend, DType act, int tp, int max_rows = 64) {
  ExecutorOptions o;
  o.model_dir = dir;
  o.backend = backend;
  o.act = act;
  o.tensor_parallel_size = tp;
  o.threads = 2;
  o.max_rows = max_rows;
  o.max_logits = 64;
  o.context_tokens = 256;
  return o;
}

/// Ranks that share a mixture's experts out.
inline ExecutorOptions sharing_experts(ExecutorOptions o) {
  o.expert_parallel = true;
  return o;
}

inline std::vector<float> all_logits(const ExecutorOptions& o, const std::vector<int>& ids,
                                     const Registry& builds = universal_builds()) {
  Executor executor(o, builds);
  Session session(executor);
  std::vector<float> all;
  const auto vocab = static_cast<std::size_t>(executor.config().spec.vocab);
  session.feed_all(ids, [&](std::size_t, const float* rows, std::size_t n) { all.insert(all.end(), rows, rows + n * vocab); });
  return all;
}

inline std::string dir_of(const char* model) { return std::string(ATOM_TEST_DATA) + "/hf/" + model; }

/// Keeps the rows whose router is sure: beyond `margin`, rounding does not change the choice.
inline void keep_rows(const std::vector<float>& margins, float margin, std::vector<float>& got, std::vector<float>& want) {
  const std::size_t rows = margins.size(), vocab = want.size() / rows;
  std::size_t kept = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    if (margins[r] < margin) continue;
    const auto move = [&](std::vector<float>& all) { std::copy_n(all.data() + r * vocab, vocab, all.data() + kept * vocab); };
    move(got), move(want), ++kept;
  }
  EXPECT_GT(2 * kept, rows) << "too little is left to compare";
  got.resize(kept * vocab);
  want.resize(kept * vocab);
}

/// What an independent implementation says of a prompt, or of its first rows: none knows those behind it (tests/data/golden.py).
struct Golden {
  explicit Golden(const std::string& directory, std::size_t most = 1000)
      : Golden(SafeTensors(directory + "/golden.safetensors"), most) {}

  std::vector<int> ids;
  std::vector<float> logits;
  std::vector<float> margins;  // of each row's routers; empty without any

  [[nodiscard]] std::size_t vocab() const { return logits.size() / ids.size(); }
  /// Over rows whose routers are surer than that.
  [[nodiscard]] Difference of_sure_rows(float margin, std::vector<float> got) const {
    std::vector<float> want = logits;
    if (!margins.empty()) keep_rows(margins, margin, got, want);
    return difference(got, want);
  }

 private:
  Golden(const SafeTensors& file, std::size_t most) : ids(test::ids(file, "input_ids")) {
    const auto has = [&](std::string_view name) {
      return std::ranges::any_of(file.tensors(), [&](const NamedTensor& t) { return t.name == name; });
    };
    // Of a quantised checkpoint those with its weights as stored and all arithmetic in float.
    logits = floats(file, has("logits_w") ? "logits_w" : "logits");
    if (has("router_margin")) margins = floats(file, "router_margin");
    const std::size_t width = vocab(), rows = std::min(most, ids.size());
    ids.resize(rows);
    logits.resize(rows * width);
    if (!margins.empty()) margins.resize(rows);
  }
};

/// So many rows are enough for the reference, which is slow: three pages.
inline std::size_t rows_for(std::string_view backend) { return backend == "ref" ? 40 : 1000; }

/// A published checkpoint on the emulator's GPU, in two steps.
inline void expect_golden_logits(const char* name, const Registry& emulated) {
  const std::string dir = dir_of(name);
  const Golden golden(dir);
  auto o = options(dir, "emu", DType::bf16, 1, 40);
  EXPECT_LE(golden.of_sure_rows(0.02f, all_logits(o, golden.ids, emulated)).relative, 2e-2);
}

}  // namespace atom::test
