#include "rope_config.hpp"

namespace atom::engine {
namespace {

using model::RopeConfig;

constexpr Range<double> any_theta{2, 1e12}, any_factor{1, 1e6}, any_positive{1e-6, 1e6};
constexpr Range<int> any_position{1, 1 << 28};

/// `share`: what holds unless this object says otherwise; 1 for architectures that rotate whole heads.
double read_share(Fields& fields, double share, bool whole) {
  constexpr std::string_view key = "partial_rotary_factor";
  const double given = fields.number(key, {0, 1}, share);
  if (whole && given != 1) fields.problem(key, "rotating part of a head is not supported for this architecture");
  return given;
}

int rotary_dim(Fields& fields, int head_dim, double share) {
  const int r = static_cast<int>(head_dim * share);
  if (share != 1 && head_dim > 0 && (r < 2 || r % 2 != 0)) {
    fields.problem("partial_rotary_factor", std::to_string(r) + " of " + std::to_string(head_dim) +
                                                " channels would rotate; rotary embedding pairs channels");
  }
  return r;
}

/// `original`: the context before stretching, 0 where the file does not say. False when the kind is unknown.
bool read_kind(Fields& rope, RopeConfig& r, int original, int max_position) {
  const std::string older = rope.text("type", "default"), kind = rope.text("rope_type", older);
  if (kind == "default") {
    r.kind = RopeConfig::Kind::standard;
  } else if (kind == "linear") {
    r.kind = RopeConfig::Kind::linear;
    r.factor = rope.number("factor", any_factor);
  } else if (kind == "llama3") {
    r.kind = RopeConfig::Kind::llama3;
    r.factor = rope.number("factor", any_factor);
    r.low_freq_factor = rope.number("low_freq_factor", any_positive);
    r.high_freq_factor = rope.number("high_freq_factor", any_positive);
    if (r.high_freq_factor != 0 && r.high_freq_factor <= r.low_freq_factor) {
      rope.problem("high_freq_factor", "must be above low_freq_factor");
    }
    r.original_max_position = original;
    if (original == 0) rope.problem("original_max_position_embeddings", "missing");
  } else if (kind == "yarn") {
    r.kind = RopeConfig::Kind::yarn;
    r.original_max_position = original ? original : max_position;
    const double implied = original > 0 && max_position > original ? static_cast<double>(max_position) / original : 1;
    r.factor = rope.number("factor", any_factor, implied);
    r.beta_fast = rope.number("beta_fast", any_positive, r.beta_fast);
    r.beta_slow = rope.number("beta_slow", any_positive, r.beta_slow);
    if (r.beta_fast < r.beta_slow) rope.problem("beta_fast", "must not be below beta_slow");
    r.attention_factor = rope.number("attention_factor", any_positive, 0);
    r.mscale = rope.number("mscale", {0, 100}, 0);
    r.mscale_all_dim = rope.number("mscale_all_dim", {0, 100}, 0);
    r.truncate = rope.flag("truncate", r.truncate);
    static_cast<void>(rope.find("finetuned"));  // says who made it, not how
  } else {
    rope.problem("rope_type", in_quotes(kind) + " is not supported; default, linear, llama3 and yarn are");
    return false;
  }
  return true;
}

}  // namespace

RopeConfig read_rope(Fields& config, int head_dim, int max_position, double share) {
  RopeConfig r;
  const bool whole = share == 1;
  r.theta = config.number("rope_theta", any_theta, r.theta);
  const int original_above = config.integer("original_max_position_embeddings", any_position, 0);
  share = read_share(config, share, whole);
  r.rotary_dim = rotary_dim(config, head_dim, share);

  const auto holds_something = [](const Json* j) { return j && !j->as_object({}).empty(); };
  const Json *object = config.object("rope_scaling"), *modern = config.object("rope_parameters");
  std::string prefix = "rope_scaling: ";
  if (!holds_something(object)) {  // where both hold something, rope_scaling counts
    object = modern;
    prefix = "rope_parameters: ";
  }
  if (!holds_something(object)) return r;
  if (const auto members = object->as_object({}); members[0].second.is_object()) {  // one set for each layer type
    if (members.size() > 1 || members[0].first != "full_attention") {
      config.problem(prefix + in_quotes(members[0].first), "a rope for each layer type is not supported; only full_attention is");
      return r;
    }
    prefix += "full_attention: ";
    object = &members[0].second;
  }
  Fields rope(*object, config.problems(), prefix);
  r.theta = rope.number("rope_theta", any_theta, r.theta);
  const int original = rope.integer("original_max_position_embeddings", any_position, 0);
  r.rotary_dim = rotary_dim(rope, head_dim, read_share(rope, share, whole));
  if (read_kind(rope, r, original_above ? original_above : original, max_position)) {
    for (const std::string& key : rope.unread()) rope.problem(in_quotes(key), "not understood, and it may change the result");
  }
  return r;
}

}  // namespace atom::engine
