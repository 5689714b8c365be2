#pragma once
// Numbers: the floating-point facts of a checkpoint.
// One idea: what only changes values, never types or shapes, is data; ModelSpec holds the rest.
// To extend: add a member and its reading in engine/config.cpp; for a new rope, a Kind and its case in ops/rope_table.cpp.
namespace atom::model {

/// How rotary frequencies follow from theta. Fields that a kind does not use keep their defaults.
struct RopeConfig {
  enum class Kind : unsigned char { standard, linear, llama3, yarn };
  Kind kind = Kind::standard;
  double theta = 10000;
  double factor = 1;                                 // linear, llama3, yarn: by how much the context was stretched
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: derived from factor and the two below
  double mscale = 0, mscale_all_dim = 0;             // yarn; 0: absent
  int original_max_position = 0;                     // llama3, yarn: the context before stretching
  bool truncate = true;                              // yarn: round the ramp's ends to whole indices
  int rotary_dim = 0;                                // channels of a head that rotate, R; even
  bool operator==(const RopeConfig&) const = default;
};

struct Numbers {
  float rms_eps = 1e-6f;
  float attn_scale = 0;    // multiplies q k^T; head_dim^-0.5 in most models
  float routed_scale = 1;  // multiplies the sum of a mixture's experts
  RopeConfig rope;
  int max_position = 0;  // longest sequence the checkpoint was made for
};

}  // namespace atom::model
