#pragma once
// What the subcommands share: the default model, options for the engine, progress on a terminal, token ids from a file.
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/executor.hpp"

#include "commands.hpp"

namespace atom::tools {

/// The folder that this program's file lies in.
std::string program_folder();

/// The demo model beside this program: in the build tree or in the install prefix; empty when it is nowhere.
std::string default_model();

/// Refuses to go on without a model; sets the instruction-set level that was asked for.
void require_model(const ModelOptions& options);

/// Engine options for a model; says on stderr which keys of its config.json had no effect (see warn_unknown).
engine::ExecutorOptions executor_options(const ModelOptions& options, engine::Progress* progress);
void warn_unknown(const std::vector<std::string>& keys, const std::string& file);

/// A bar on stderr when that is a terminal; warnings in any case.
class TerminalProgress final : public engine::Progress {
 public:
  TerminalProgress();
  void update(std::string_view what, std::size_t done, std::size_t total) override;
  void warn(std::string_view sentence) override;

 private:
  bool terminal_;
  int shown_ = -1;
};

/// The first of `names` that the safetensors file holds, as token ids: I32 or I64, (n) or (1, n).
std::vector<int> read_ids(const std::string& path, std::span<const std::string_view> names);

std::string read_stdin();
std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

}  // namespace atom::tools
