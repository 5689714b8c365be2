#pragma once
// Pattern: the `pattern` of a Split or a Replace, a string or a regular expression. Search: one walk over its matches.
// One idea: expressions in tokenizer.json are written for Oniguruma; they are read here once, into PCRE2 with the same meaning,
// and what would mean something else is refused. A Pattern is shared by threads, a Search belongs to one.
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "entry.hpp"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace atom::engine::text {

class Pattern {
 public:
  /// {"String": "..."} or {"Regex": "..."}.
  explicit Pattern(const Entry& entry);
  /// A regular expression; `where` opens error messages.
  Pattern(std::string_view regex, const std::string& where);
  static Pattern literal(std::string text);

 private:
  friend class Search;
  Pattern() = default;
  void compile(std::string_view regex, const std::string& where);

  std::string literal_;  // empty: a regular expression
  std::string where_;
  std::shared_ptr<const pcre2_real_code_8> code_;
  std::shared_ptr<pcre2_real_match_context_8> limits_;
  bool jit_ = false;
};

/// `for (search.open(text); search.next();)` visits the non-overlapping matches from left to right. `text` is valid UTF-8.
class Search {
 public:
  explicit Search(const Pattern& pattern);  // which must outlive the search
  void open(std::string_view text);
  /// Throws atom::Error when the expression needs more steps or memory on this text than it is allowed.
  bool next();
  [[nodiscard]] std::size_t begin() const { return begin_; }
  [[nodiscard]] std::size_t end() const { return end_; }

 private:
  bool find(std::size_t from);

  const Pattern* pattern_;
  std::shared_ptr<pcre2_real_match_data_8> match_;
  std::string_view text_;
  std::size_t from_ = 0, begin_ = 0, end_ = 0;
  bool matched_ = false;  // [begin_, end_) is a match
};

}  // namespace atom::engine::text
