// atom bench kernels: where a step's time goes. One line per kernel and shape: how often a step launches it, its time (the median
// of the repetitions), and what that means in bandwidth and arithmetic, beside the most that this machine does of either.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"
#include "atom/ops/kv_layout.hpp"
#include "atom/ops/sampling_op.hpp"

#include "../bench/ceilings.hpp"
#include "common.hpp"
#include "statistics.hpp"

namespace atom::tools {

namespace {

// A step over `seqs` sequences of `rows` tokens each, after `depth` tokens in the cache.
class Step {
 public:
  Step(int seqs, int rows, int depth) : seqs_(seqs), rows_(rows), depth_(depth) {}

  [[nodiscard]] std::string name() const {
    return (seqs_ == 1 && rows_ > 1 ? "prefill " + std::to_string(rows_) : "decode " + std::to_string(seqs_)) + " @ " +
           std::to_string(depth_);
  }
  [[nodiscard]] int seqs() const { return seqs_; }
  [[nodiscard]] int rows() const { return seqs_ * rows_; }
  [[nodiscard]] int pages() const { return (depth_ + rows_ + kernels::page_tokens - 1) / kernels::page_tokens; }

  /// Puts `depth` tokens of every sequence into the cache, at most `most` tokens a step.
  void fill(engine::Executor& executor, int most) {
    for (int s = 0; s < seqs_; ++s)
      for (int at = 0; at < depth_; at += most) executor.forward(batch(s, 1, at, std::min(most, depth_ - at)));
  }
  Batch all() { return batch(0, seqs_, depth_, rows_); }

 private:
  Batch batch(int first_seq, int seqs, int at, int rows) {
    tokens_.clear(), positions_.clear(), slots_.clear(), table_.clear(), context_.clear(), states_.clear(), last_.clear();
    first_row_.assign(1, 0);
    for (int s = first_seq; s < first_seq + seqs; ++s) {
      for (int i = 0; i < rows; ++i) {
        tokens_.push_back((s * 131 + (at + i) * 7) % 97);
        positions_.push_back(at + i);
        slots_.push_back(s * pages() * kernels::page_tokens + at + i);
      }
      for (int p = 0; p < pages(); ++p) table_.push_back(s * pages() + p);
      first_row_.push_back(first_row_.back() + rows);
      context_.push_back(at + rows);
      states_.push_back(s);
      last_.push_back(first_row_.back() - 1);
    }
    Batch b;
    b.tokens = tokens_.data();
    b.positions = positions_.data();
    b.slots = slots_.data();
    b.block_table = table_.data();
    b.first_row = first_row_.data();
    b.context = context_.data();
    b.states = states_.data();
    b.logit_rows = rows == 1 ? nullptr : last_.data();
    b.rows = seqs * rows;
    b.seqs = b.logits = seqs;
    b.table_stride = pages();
    return b;
  }

  int seqs_, rows_, depth_;
  std::vector<int> tokens_, positions_, slots_, table_, first_row_, context_, states_, last_;
};

struct Kernel {
  std::string name, shape;
  Cost cost;  // of all launches
  int launches = 0;
  double seconds = 0;  // of all launches
};

using engine::Ceilings;

struct Report {
  std::string step;
  double seconds = 0;
  std::vector<Kernel> kernels;  // the longest first
};

// Launches of one kernel at one shape are one line; its time is the median over steps of their sum.
Report look(engine::Executor& executor, Step& step, int repetitions, int most) {
  step.fill(executor, most);
  const Batch batch = step.all();
  auto launches = executor.plan(batch).launches;
  const std::vector<kernels::SampleParams> params(static_cast<std::size_t>(step.seqs()), {.temperature = 0});
  std::vector<int> tokens(params.size());
  launches.push_back(executor.plan_draw(step.seqs()));

  Report report{step.name(), 0, {}};
  std::vector<std::size_t> line(launches.size());
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const std::string name(std::string_view(launches[i].name)), shape(std::string_view(launches[i].shape));
    auto it = std::ranges::find_if(report.kernels, [&](const Kernel& k) { return k.name == name && k.shape == shape; });
    if (it == report.kernels.end()) it = report.kernels.insert(it, Kernel{name, shape, {}, 0, 0});
    ++it->launches;
    it->cost += launches[i].cost;
    line[i] = static_cast<std::size_t>(it - report.kernels.begin());
  }
  std::vector<std::vector<double>> sums(report.kernels.size());
  std::vector<double> whole;
  for (int r = -1; r < repetitions; ++r) {
    const auto seconds = executor.time_launches(batch, params.data(), tokens.data());
    if (r < 0) continue;
    for (auto& s : sums) s.push_back(0);
    for (std::size_t i = 0; i < seconds.size(); ++i) sums[line[i]].back() += seconds[i];
    whole.push_back(std::accumulate(seconds.begin(), seconds.end(), 0.0));
  }
  for (std::size_t k = 0; k < sums.size(); ++k) report.kernels[k].seconds = median(sums[k]);
  report.seconds = median(whole);
  std::ranges::stable_sort(report.kernels, std::ranges::greater{}, &Kernel::seconds);
  return report;
}

Ceilings ceilings(int threads, bool int8) {
  constexpr std::size_t bytes = std::size_t{512} << 20;
  ThreadPool pool(threads, cpus_for(threads));
  using bench::Unit;
  const Unit unit = cpu::isa() == cpu::Isa::amx           ? (int8 ? Unit::amx_int8 : Unit::amx_bf16)
                    : cpu::isa() == cpu::Isa::avx512_bf16 ? (int8 ? Unit::int8_dot : Unit::fma512)
                    : cpu::isa() == cpu::Isa::avx512      ? Unit::fma512
                                                          : Unit::fma256;
  return {bench::read_bandwidth(pool, bench::operands(bytes), bytes), bench::peak(pool, unit)};
}

double share(double rate, double most) { return most > 0 ? rate / most : 0; }

struct Rates {
  double gbytes, gflops, roofline;  // roofline: share of the time in which the machine could have done it
};
Rates rates(const Kernel& k, const Ceilings& most) {
  const double seconds = std::max(k.seconds, 1e-12), gb = k.cost.bytes * 1e-9 / seconds, gf = k.cost.flops * 1e-9 / seconds;
  return {gb, gf, std::max(share(gb, most.gbytes), share(gf, most.gflops))};
}

void print_table(const Report& report, const Ceilings& most) {
  std::printf("%s: %.2f ms\n%6s %9s %9s %8s %9s %7s %6s  %s\n", report.step.c_str(), report.seconds * 1e3, "share", "us",
              "launches", "us each", "GB/s", "GFLOP/s", "% roof", "kernel");
  for (const Kernel& k : report.kernels) {
    const Rates r = rates(k, most);
    std::printf("%5.1f%% %9.1f %9d %8.2f %9.2f %7.1f %6.1f  %s %s\n", 100 * k.seconds / report.seconds, k.seconds * 1e6, k.launches,
                k.seconds * 1e6 / k.launches, r.gbytes, r.gflops, 100 * r.roofline, k.name.c_str(), k.shape.c_str());
  }
}

void print_csv(const Report& report, const Ceilings& most) {
  for (const Kernel& k : report.kernels) {
    const Rates r = rates(k, most);
    std::printf("\"%s\",\"%s\",\"%s\",%d,%.3f,%.4f,%.3f,%.3f,%.4f\n", report.step.c_str(), k.name.c_str(), k.shape.c_str(),
                k.launches, k.seconds * 1e6, k.seconds / report.seconds, r.gbytes, r.gflops, r.roofline);
  }
}

std::string json_row(const Report& report, const Ceilings& most) {
  std::string kernels;
  for (const Kernel& k : report.kernels) {
    const Rates r = rates(k, most);
    JsonObject o;
    o.text("kernel", k.name).text("shape", k.shape).number("launches", k.launches).number("microseconds", k.seconds * 1e6);
    o.number("share", k.seconds / report.seconds).number("gb_per_second", r.gbytes).number("gflops", r.gflops);
    kernels += (kernels.empty() ? "" : ", ") + o.number("roofline", r.roofline).done();
  }
  JsonObject o;
  o.text("step", report.step).number("milliseconds", report.seconds * 1e3).number("read_gb_per_second", most.gbytes);
  return o.number("peak_gflops", most.gflops).raw("kernels", "[" + kernels + "]").done();
}

}  // namespace

int bench_kernels(const BenchKernelsOptions& o) {
  std::vector<Step> steps;
  for (const auto* list : {&o.prefill, &o.decode})
    for (const int n : *list) {
      if (n < 0 || n > 1 << 16)
        throw Error(std::string(list == &o.prefill ? "--prefill" : "--decode") + ": " + std::to_string(n) +
                    " must be between 0 and 65536");
      if (n > 0) steps.push_back(list == &o.prefill ? Step(1, n, o.depth) : Step(n, 1, o.depth));
    }
  if (steps.empty()) throw Error("--prefill and --decode: give at least one step to look into");
  TerminalProgress progress;
  auto options = executor_options(o.model, &progress);
  options.graph_sizes = {};  // a replayed step does not tell its kernels apart
  constexpr int chunk = 512;
  int pages = 0;
  options.max_rows = o.depth > 0 ? std::min(o.depth, chunk) : 1;
  for (const Step& s : steps) {
    options.max_rows = std::max(options.max_rows, s.rows());
    options.max_seqs = options.max_logits = std::max(options.max_seqs, s.seqs());
    pages = std::max(pages, s.seqs() * s.pages());
  }
  options.context_tokens = pages * kernels::page_tokens;
  engine::Executor executor(options, *o.model.builds);
  const auto devices = executor.build().device->list();  // a device says what it does at most; the host is measured
  const int threads = executor.threads();
  const Ceilings most = devices.empty() ? ceilings(threads, executor.build().quant == "int8") : devices.front().most;
  if (o.output == "table")
    std::printf("%s, %s, %s; it reads %.1f GB/s and does %.0f GFLOP/s\n", model_name(options.model_dir).c_str(),
                executor.build().name.c_str(),
                devices.empty() ? (std::to_string(threads) + " threads").c_str() : devices.front().name.c_str(), most.gbytes,
                most.gflops);
  if (o.output == "csv") std::puts("step,kernel,shape,launches,microseconds,share,gb_per_second,gflops,roofline");
  std::vector<Report> reports;
  for (Step& step : steps) {
    reports.push_back(look(executor, step, o.repetitions, std::min(chunk, options.max_rows)));
    if (o.output == "table") print_table(reports.back(), most);
    if (o.output == "csv") print_csv(reports.back(), most);
    std::fflush(stdout);
  }
  if (o.output == "json") print_json_array(reports, [&](const Report& r) { return json_row(r, most); });
  return 0;
}

}  // namespace atom::tools
