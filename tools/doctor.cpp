// atom doctor: what this machine offers, what this program holds, and, for a model, what would run or why nothing can.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <set>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"

#include "../bench/ceilings.hpp"
#include "common.hpp"
#include "statistics.hpp"
#include "system_info.hpp"

namespace atom::tools {

namespace {

struct ShorterFirst {  // numbers in their order
  bool operator()(const std::string& a, const std::string& b) const { return a.size() != b.size() ? a.size() < b.size() : a < b; }
};
using Names = std::set<std::string, ShorterFirst>;

// What one family's builds have in common, and what they differ in.
struct Family {
  std::string name;
  Names head_dims, weights, schemes, activations, backends;
};

std::string name_of(model::Arch arch) {
  switch (arch) {
    case model::Arch::llama: return "Llama";
    case model::Arch::qwen2: return "Qwen2";
    case model::Arch::qwen3: return "Qwen3";
    case model::Arch::mixtral: return "Mixtral";
    case model::Arch::qwen3_moe: return "Qwen3Moe";
    case model::Arch::glm4_moe: return "Glm4Moe";
    case model::Arch::deepseek_v2: return "DeepseekV2";
    case model::Arch::deepseek_v3: return "DeepseekV3";
    case model::Arch::gpt_oss: return "GptOss";
    case model::Arch::qwen3_next: return "Qwen3Next";
  }
  return "unknown";
}

std::vector<Family> families(const engine::Registry& builds) {
  std::vector<Family> all;
  for (const engine::Variant& v : builds.variants()) {
    const std::string name = name_of(v.spec->arch);
    auto f = std::ranges::find(all, name, &Family::name);
    if (f == all.end()) f = all.insert(f, Family{name, {}, {}, {}, {}, {}});
    const int d = v.spec->attn.head_dim;
    f->head_dims.insert(d == dynamic ? "any" : std::to_string(d));
    f->weights.insert(std::string(name_of(v.weights)));
    f->schemes.insert(std::string(v.quant));
    f->activations.insert(std::string(name_of(v.act)));
    f->backends.insert(std::string(v.backend));
  }
  return all;
}

std::string joined(const Names& items) {
  std::string out;
  for (const auto& i : items) out += (out.empty() ? "" : ", ") + i;
  return out;
}

// What would run: the build and the memory it takes, from a dry run; or the sentence that says why not.
struct Verdict {
  std::string build, refusal;
  std::size_t bytes = 0, available = 0;
  int context = 0;
};

Verdict verdict(const DoctorOptions& o) {
  Verdict v;
  try {
    auto options = executor_options(o.model, nullptr);
    options.dry = true;
    if (options.context_tokens == 0)
      options.context_tokens = std::min(engine::read_config(options.model_dir).numbers.max_position, 8192);
    const engine::Executor dry(options, *o.model.builds);
    const engine::MemoryUse& m = dry.memory();
    v.build = dry.build().name;
    v.bytes = m.weights + m.weights_in_file + m.kv_cache + m.states + m.activations + m.sampling + m.rope_table;
    v.context = dry.context_tokens();
    v.available = dry.available_memory();
  } catch (const Error& e) {
    v.refusal = e.what();
  }
  return v;
}

double read_bandwidth(int threads) {
  constexpr std::size_t bytes = std::size_t{512} << 20;
  ThreadPool pool(threads, cpus_for(threads));
  return bench::read_bandwidth(pool, bench::operands(bytes), bytes);
}

// The GPUs that this program's back ends find.
std::vector<engine::DeviceInfo> gpus(const engine::Registry& builds) {
  std::set<const engine::DeviceKind*> kinds;
  std::vector<engine::DeviceInfo> all;
  for (const engine::Variant& v : builds.variants())
    if (kinds.insert(v.device).second) std::ranges::move(v.device->list(), std::back_inserter(all));
  return all;
}
bool has_gpu_backend(const engine::Registry& builds) {
  return std::ranges::any_of(builds.variants(), [](const engine::Variant& v) { return !v.device->host_memory; });
}

std::string why_threads(const Processors& p) {
  const std::string_view limit = limit_of(p);
  if (limit == "quota") return "no more than the CPU time that the control group grants (cpu.max, cpu.cfs_quota_us)";
  if (limit == "cpu_mask") return "one per CPU of --cpu-mask";
  if (limit == "affinity") return "one per core that the affinity or cpuset of this process leaves";
  return limit == "cores" ? "one per core; its threads share what one of them fills" : "one per CPU";
}

double gib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

void print_json(const DoctorOptions& o, const SystemInfo& s, double bandwidth) {
  JsonObject cpu, memory, out;
  cpu.text("model", s.cpu_model).text("isa", std::string(cpu::name_of(cpu::isa())));
  cpu.text("isa_available", std::string(cpu::name_of(cpu::detect()))).number("online", s.cpus.online.size());
  cpu.number("usable", s.cpus.usable.size()).number("cores", s.cpus.cores()).number("nodes", s.cpus.nodes().size());
  cpu.number("quota", s.cpus.quota).number("default_threads", default_threads(s.cpus));
  cpu.text("threads_limited_by", std::string(limit_of(s.cpus)));
  memory.number("bytes", s.memory.total).number("available_bytes", s.memory.available).number("limit_bytes", s.memory.limit);
  memory.number("left_bytes", engine::usable_memory(s.memory)).text("transparent_huge_pages", s.transparent_huge_pages);
  memory.number("huge_pages", s.huge_pages).number("huge_page_bytes", s.huge_page_bytes);
  if (o.measure) memory.number("read_gb_per_second", bandwidth);
  std::string list;
  for (const engine::Variant& v : o.model.builds->variants()) {
    JsonObject b;
    b.text("name", v.name).text("family", name_of(v.spec->arch)).number("head_dim", v.spec->attn.head_dim);
    b.text("weights", std::string(name_of(v.weights))).text("quant", std::string(v.quant));
    b.text("activation", std::string(name_of(v.act))).text("backend", std::string(v.backend));
    list += (list.empty() ? "" : ", ") + b.done();
  }
  std::string devices;
  for (const engine::DeviceInfo& d : gpus(*o.model.builds)) {
    JsonObject g;
    g.text("name", d.name).text("architecture", d.architecture).number("bytes", d.memory).number("available_bytes", d.available);
    g.number("gb_per_second", d.most.gbytes).number("bf16_gflops", d.most.gflops);
    g.text("products", d.products);
    devices += (devices.empty() ? "" : ", ") + g.done();
  }
  out.raw("cpu", cpu.done()).raw("memory", memory.done()).raw("gpus", "[" + devices + "]").raw("builds", "[" + list + "]");
  if (!o.model.model.empty()) {
    const Verdict v = verdict(o);
    JsonObject m;
    m.text("directory", o.model.model);
    if (v.refusal.empty())
      m.text("build", v.build).number("bytes", v.bytes).number("context_tokens", v.context);
    else
      m.text("refusal", v.refusal);
    out.raw("model", m.done());
  }
  std::printf("%s\n", out.done().c_str());
}

}  // namespace

int doctor(const DoctorOptions& o) {
  if (!o.model.cpu_isa.empty()) cpu::set_isa(o.model.cpu_isa);
  const SystemInfo s = system_info(o.model.cpu_mask);
  const double bandwidth = o.measure ? read_bandwidth(o.model.threads ? o.model.threads : default_threads(s.cpus)) : 0;
  if (o.json) {
    print_json(o, s, bandwidth);
    return 0;
  }
  const auto level = cpu::name_of(cpu::isa()), best = cpu::name_of(cpu::detect());
  std::printf("cpu          %s\n", s.cpu_model.empty() ? "unknown" : s.cpu_model.c_str());
  std::printf("kernels      %.*s%s%.*s%s\n", static_cast<int>(level.size()), level.data(), level == best ? "" : " (forced; ",
              level == best ? 0 : static_cast<int>(best.size()), best.data(),
              level == best ? ", the best of this machine" : " is available)");
  const std::size_t cpus = s.cpus.usable.size(), nodes = s.cpus.nodes().size();
  std::printf("processors   %zu usable of %zu, %d core%s", cpus, s.cpus.online.size(), s.cpus.cores(),
              s.cpus.cores() == 1 ? "" : "s");
  if (nodes > 1) std::printf(" on %zu memory nodes", nodes);
  if (s.cpus.quota > 0) std::printf(", the time of %.2f of them", s.cpus.quota);
  const int threads = default_threads(s.cpus);
  std::printf("\nthreads      %d by default: %s", threads, why_threads(s.cpus).c_str());
  std::printf("\nmemory       %.1f GiB, %.1f GiB left to this program", gib(s.memory.total), gib(engine::usable_memory(s.memory)));
  if (s.memory.limit > 0) std::printf(" (limited to %.1f GiB)", gib(s.memory.limit));
  if (o.measure) std::printf(", read at %.1f GB/s", bandwidth);
  const bool never = s.transparent_huge_pages == "never";
  std::printf("\nhuge pages   transparent: %s%s; reserved: %zu of %zu KiB\n",
              s.transparent_huge_pages.empty() ? "unknown" : s.transparent_huge_pages.c_str(),
              never ? " (slower; write madvise to /sys/kernel/mm/transparent_hugepage/enabled)" : "", s.huge_pages,
              s.huge_page_bytes >> 10);
  const auto devices = gpus(*o.model.builds);
  for (const engine::DeviceInfo& d : devices)
    std::printf(
        "gpu          %s, %s: %.1f GiB, %.1f GiB free; at most %.0f GB/s, %.0f TFLOP/s in bf16; products of many rows: %s\n",
        d.name.c_str(), d.architecture.c_str(), gib(d.memory), gib(d.available), d.most.gbytes, d.most.gflops / 1000,
        d.products.c_str());
  if (devices.empty())
    std::printf("gpus         none: %s\n", has_gpu_backend(*o.model.builds)
                                               ? "no driver answers; install the GPU's, or see that this process may use it"
                                               : "this build has no GPU backend");
  for (const Family& f : families(*o.model.builds))
    std::printf("builds       %s: head_dim %s; weights %s; quant %s; activation %s; backend %s\n", f.name.c_str(),
                joined(f.head_dims).c_str(), joined(f.weights).c_str(), joined(f.schemes).c_str(), joined(f.activations).c_str(),
                joined(f.backends).c_str());
  if (o.model.model.empty()) return 0;
  const Verdict v = verdict(o);
  std::printf("model        %s\n", o.model.model.c_str());
  if (!v.refusal.empty())
    std::printf("             cannot run: %s\n", v.refusal.c_str());
  else
    std::printf("             runs on %s; %.2f GiB for %d tokens of context%s\n", v.build.c_str(), gib(v.bytes), v.context,
                v.bytes > v.available ? ", more than is left: lower --max-model-len or use --quant int8" : "");
  return 0;
}

}  // namespace atom::tools
