#pragma once
// Normalizer: the `normalizer` of tokenizer.json, a list of text-to-text steps applied to each piece between added tokens.
// One idea: most text is already normal, so a step says "unchanged" cheaply and nothing is copied.
// To extend: add a Step::Kind, its line in the constructor and its case in apply().
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "entry.hpp"
#include "pattern.hpp"

namespace atom::engine::text {

class Normalizer {
 public:
  explicit Normalizer(const std::optional<Entry>& component);

  /// The normal form of valid UTF-8: `text` itself, or a view of `storage`. Throws when it would exceed `most_bytes`.
  std::string_view apply(std::string_view text, std::string& storage, std::size_t most_bytes) const;

 private:
  struct Step {
    enum class Kind : unsigned char { nfc, nfd, nfkc, nfkd, prepend, replace, lowercase, strip };
    Kind kind;
    bool left = false, right = false;  // strip
    std::string content = {};          // prepend, replace
    std::optional<Pattern> pattern = {};
  };
  std::vector<Step> steps_;
};

}  // namespace atom::engine::text
