#pragma once
// Pretokenizer: the `pre_tokenizer` of tokenizer.json, which cuts a text into the pieces that merging never crosses.
// One idea: every type is an optional edit (a space in front, Metaspace) and an optional cut at a pattern. Pieces go depth first
// through the stages, straight to the sink: whatever the text, nothing is kept per piece.
// To extend: a type that cuts is one line in the constructor, a pattern and a behavior.
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "entry.hpp"
#include "pattern.hpp"

namespace atom::engine::text {

class Pretokenizer {
 public:
  explicit Pretokenizer(const std::optional<Entry>& component);

  /// The last stage is ByteLevel: pieces are to be spelt in its byte alphabet. (They are handed over as plain bytes.)
  [[nodiscard]] bool byte_level() const { return byte_level_; }

 private:
  friend class Cutter;
  enum class Behavior : unsigned char { isolated, removed, contiguous, merged_with_previous, merged_with_next };
  enum class Edit : unsigned char { none, space_in_front, metaspace };
  enum class Prepend : unsigned char { always, first, never };
  struct Stage {
    std::optional<Pattern> pattern = {};
    Behavior behavior = Behavior::isolated;
    bool invert = false;
    Edit edit = Edit::none;
    std::string replacement = {};  // metaspace
    Prepend prepend = Prepend::never;
  };
  static Behavior behavior_of(const Entry& entry);
  static Stage metaspace(const Entry& entry);

  std::vector<Stage> stages_;
  bool byte_level_ = false;
};

/// The state of one thread while it cuts.
class Cutter {
 public:
  using Sink = std::function<void(std::string_view piece)>;

  explicit Cutter(const Pretokenizer& pretokenizer);  // which must outlive the cutter
  /// Calls sink for each piece, in order. `at_start`: nothing stands before the text (Metaspace asks).
  void cut(std::string_view text, bool at_start, const Sink& sink) { run(0, text, at_start, sink); }

 private:
  void run(std::size_t stage, std::string_view text, bool at_start, const Sink& sink);

  const Pretokenizer* pretokenizer_;
  std::vector<std::optional<Search>> searches_;  // one per stage
};

}  // namespace atom::engine::text
