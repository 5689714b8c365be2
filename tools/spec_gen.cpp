// atom-spec-gen: config.json to the header of a specialised build, by the engine's own reading of config.json.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>

#include "atom/core/error.hpp"
#include "atom/engine/config.hpp"
#include "atom/engine/json.hpp"

#include "build_source.hpp"
#include "common.hpp"

int main(int argc, char** argv) try {
  using namespace atom;
  CLI::App app("atom-spec-gen: writes the C++ header of a build for one config.json", "atom-spec-gen");
  tools::BuildChoice choice;
  std::string config_file, family, output;
  std::optional<DType> weights;
  const std::map<std::string, DType> types{{"bf16", DType::bf16}, {"f16", DType::f16}, {"f32", DType::f32}};
  app.add_option("--name", choice.name, "The build's name, a C++ identifier")->required();
  app.add_option("--config", config_file, "config.json")->required();
  app.add_option("--output", output, "The header to write")->required();
  app.add_option("--family", family,
                 "Refuse a config.json of another family: Llama, Qwen2, Qwen3, Qwen3Moe, Mixtral, Glm4Moe, GptOss, DeepseekV2, "
                 "DeepseekV3");
  app.add_option("--backend", choice.backend, "Cpu or Ref")->capture_default_str();
  app.add_option("--quant", choice.quant, "none or int8")->capture_default_str();
  app.add_option("--act", choice.activation, "Activations: bf16 or f32")->capture_default_str();
  app.add_option("--kv", choice.kv, "KV cache: bf16, f32, int8 or fp8; default: as activations");
  app.add_option("--weights", weights, "The checkpoint's elements: bf16, f16 or f32; default: what config.json says")
      ->transform(CLI::CheckedTransformer(types, CLI::ignore_case));
  app.add_option("--tp", choice.tp, "Ranks of tensor parallelism")->capture_default_str();
  app.add_option("--ep", choice.ep, "Ranks that share experts out: 1, none does, or as --tp")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  choice.backend = CLI::detail::to_lower(choice.backend);
  const auto config = engine::from_config(engine::Json::parse_file(config_file));
  choice.weights = weights.value_or(config.dtype);
  if (!family.empty() && family != tools::family_name(config.spec.arch))
    throw Error(config_file + ": describes a " + std::string(tools::family_name(config.spec.arch)) + ", not a " + family +
                "; leave out --family, or give another config.json");
  const std::string header = tools::build_header(choice, config.spec);
  if (const auto folder = std::filesystem::path(output).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
  tools::write_text(output, header);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "atom-spec-gen: %s\n", e.what());
  return 1;
}
