#include "common.hpp"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <unistd.h>

#include "atom/core/cpu_features.hpp"
#include "atom/core/error.hpp"
#include "atom/core/processors.hpp"
#include "atom/engine/output_file.hpp"
#include "atom/engine/safetensors.hpp"

namespace atom::tools {

namespace fs = std::filesystem;

std::string program_folder() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path().string();
}

std::string default_model() {
  std::error_code ignored;
  const fs::path here = program_folder();
  for (const char* up : {"../share/atom/models/demo", "../../../models/demo"})
    if (const fs::path p = (here / up).lexically_normal(); fs::exists(p / "config.json", ignored)) return p.string();
  return {};
}

void require_model(const ModelOptions& options) {
  if (options.model.empty()) throw Error("--model: no model given, and the demo model is not beside this program");
  if (!options.cpu_isa.empty()) cpu::set_isa(options.cpu_isa);
  if (options.cpu_mask.empty()) return;
  std::vector<int> cpus;
  for (const Processor& p : select(processors(), options.cpu_mask).usable) cpus.push_back(p.id);
  confine(cpus);  // the main thread works too
}

engine::ExecutorOptions executor_options(const ModelOptions& options, engine::Progress* progress) {
  require_model(options);
  engine::ExecutorOptions e = engine::model_options(options);
  e.context_tokens = options.max_model_len;
  e.memory_share = options.gpu_memory_utilization;
  const engine::CompilationConfig& k = options.compilation_config;
  for (const engine::Variant& v : options.builds->variants())
    if (v.backend == options.backend) engine::check_graphs(k, *v.device);
  const bool recorded = k.level < 0 || k.level == engine::CompilationLevel::PIECEWISE;
  const engine::CUDAGraphMode standard = recorded ? engine::CUDAGraphMode::FULL : engine::CUDAGraphMode::NONE;
  const bool graphs = k.use_cudagraph && k.cudagraph_mode.value_or(standard).decode_mode() == engine::CUDAGraphMode::FULL;
  if (graphs && !options.enforce_eager) e.graph_sizes = {1};
  e.progress = progress;
  return e;
}

void warn_unknown(const std::vector<std::string>& keys, const std::string& file) {
  if (keys.empty()) return;
  std::string list;
  for (const auto& k : keys) list += (list.empty() ? "" : ", ") + k;
  std::fprintf(stderr, "atom: warning: %s: unknown keys have no effect: %s\n", file.c_str(), list.c_str());
}

TerminalProgress::TerminalProgress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void TerminalProgress::update(std::string_view what, std::size_t done, std::size_t total) {
  const int percent = total ? static_cast<int>(100 * done / total) : 100;
  if (!terminal_ || percent == shown_) return;
  shown_ = percent;
  constexpr int width = 40;
  const std::string full(static_cast<std::size_t>(width * percent / 100), '#'), rest(width - full.size(), '.');
  std::fprintf(stderr, "\r%.*s [%s%s] %3d %%", static_cast<int>(what.size()), what.data(), full.c_str(), rest.c_str(), percent);
  if (done == total) std::fputs("\r\033[K", stderr);
}

void TerminalProgress::warn(std::string_view sentence) {
  std::fprintf(stderr, "atom: warning: %.*s\n", static_cast<int>(sentence.size()), sentence.data());
}

std::vector<int> read_ids(const std::string& path, std::span<const std::string_view> names) {
  const engine::SafeTensors file(path);
  for (std::string_view name : names)
    for (const auto& t : file.tensors()) {
      if (t.name != name) continue;
      const bool row = t.rank == 1 || (t.rank == 2 && t.dims[0] == 1);
      if (!row || (t.dtype != DType::i64 && t.dtype != DType::i32))
        throw Error(path + ": " + t.name + ": expected I32 or I64 of shape [n] or [1, n]");
      const auto size = static_cast<std::size_t>(size_of(t.dtype));
      std::vector<int> ids(t.bytes / size);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        std::int64_t wide = 0;
        std::int32_t narrow = 0;
        if (size == 8) std::memcpy(&wide, t.data + i * 8, 8);
        if (size == 4) std::memcpy(&narrow, t.data + i * 4, 4);
        const std::int64_t id = size == 8 ? wide : narrow;
        if (id < 0 || id > INT32_MAX) throw Error(path + ": " + t.name + ": element " + std::to_string(i) + " is no token id");
        ids[i] = static_cast<int>(id);
      }
      return ids;
    }
  std::string list;
  for (std::string_view n : names) list += (list.empty() ? "" : " or ") + std::string(n);
  throw Error(path + ": no tensor " + list);
}

std::string read_stdin() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_text(const std::string& path, const std::string& text) {
  engine::OutputFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace atom::tools
