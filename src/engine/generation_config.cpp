#include "atom/engine/generation_config.hpp"

#include "atom/engine/json.hpp"

#include "fields.hpp"
#include "file.hpp"
#include "problems.hpp"

namespace atom::engine {
namespace {

/// Keys that change nothing here; lengths are the caller's to choose.
constexpr std::string_view informative[] = {"_from_model_config", "transformers_version", "use_cache",   "pad_token_id",
                                            "max_length",         "max_new_tokens",       "unk_token_id"};

}  // namespace

GenerationDefaults from_generation_config(const Json& json, const ModelConfig& config) {
  Problems problems{std::string(json.where())};
  Fields fields(json, problems);
  GenerationDefaults d;
  const bool sample = fields.flag("do_sample", false);
  const double temperature = fields.number("temperature", {0, 100}, 1);
  d.temperature = sample ? static_cast<float>(temperature) : 0.0f;
  d.top_k = fields.integer("top_k", non_negative, d.top_k);
  d.top_p = static_cast<float>(fields.number("top_p", {0, 1}, 1));
  d.min_p = static_cast<float>(fields.number("min_p", {0, 1}, 0));
  d.eos_token_ids = fields.token_ids("eos_token_id");
  if (d.eos_token_ids.empty()) d.eos_token_ids = config.eos_token_ids;
  d.bos_token_id = fields.integer("bos_token_id", {0, config.spec.vocab - 1}, config.bos_token_id);
  problems.throw_if_any();
  fields.ignore(informative);
  d.unknown_keys = fields.unread();
  return d;
}

GenerationDefaults read_generation_config(const std::string& model_dir, const ModelConfig& config) {
  const std::string path = model_dir + "/generation_config.json";
  return from_generation_config(exists(path) ? Json::parse_file(path) : Json::parse("{}", path), config);
}

}  // namespace atom::engine
