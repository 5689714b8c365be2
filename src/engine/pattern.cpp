#include "pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <cstdint>
#include <pcre2.h>
#include <utility>

#include "utf8.hpp"

namespace atom::engine::text {
namespace {

constexpr std::size_t longest_regex = 64 << 10;  // the longest known is below 2 KiB
constexpr std::uint32_t match_limit = 100'000'000, depth_limit = 1'000'000, heap_limit_kib = 64 << 10;

// \s, \w and \b mean Unicode's sets in Oniguruma. PCRE2's \s also counts U+180E, which left White_Space with Unicode 6.3, and its
// \w lacks marks. (An explicit set is one bit test for most characters, too.)
constexpr std::string_view space = R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view not_space =
    R"(\x00-\x08\x0e-\x1f\x21-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e})"
    R"(\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view word = R"(\p{L}\p{M}\p{N}\p{Pc})";

/// What stands for an escape of one letter that PCRE2 reads differently; empty: the escape itself. `in_set`: between [ and ].
std::string translated_escape(char letter, bool in_set) {
  const auto set = [&](std::string_view members, const char* open) { return open + std::string(members) + "]"; };
  switch (letter) {
    case 's': return in_set ? std::string(space) : set(space, "[");
    case 'S': return in_set ? std::string(not_space) : set(not_space, "[");
    case 'w': return in_set ? std::string(word) : set(word, "[");
    case 'W': return in_set ? "" : set(word, "[^");
    case 'b':
      return in_set ? ""
                    : "(?:(?<=" + set(word, "[") + ")(?!" + set(word, "[") + ")|(?<!" + set(word, "[") + ")(?=" + set(word, "[") +
                          "))";
    default: return "";
  }
}

/// The expression as PCRE2 has to read it. Throws on what the two engines read differently.
std::string translated(std::string_view regex, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    throw Error(where + ": " + quoted(regex) + ": " + std::string(what) + " is not supported; rewrite the expression without it");
  };
  // Tried at every space of a run that ends elsewhere, \s+$ takes quadratic time. A match always starts its run: say so.
  const std::string source = (regex == R"(\s+$)" ? R"((?<!\s))" : "") + std::string(regex);
  std::string out;
  bool in_set = false, interval = false;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    const char following = i + 1 < source.size() ? source[i + 1] : '\0';
    if (c == '\\') {
      ++i;
      if (following == 'h' || following == 'H' || following == 'B' || (in_set && following == 'W')) {
        refuse(std::string("\\") + following + (in_set ? " in a set" : ""));
      }
      if (const std::string other = translated_escape(following, in_set); !other.empty()) {
        out += other;
      } else {
        out += c;
        if (following != '\0') out += following;
      }
      interval = false;
      // \x{..} and \p{..} end in a brace that is no interval
      if (i + 1 < source.size() && source[i + 1] == '{' && std::string_view("xpPo").find(following) != std::string_view::npos) {
        while (i + 1 < source.size() && source[i] != '}') out += source[++i];
      }
      continue;
    }
    if (in_set) {
      if (c == '[' && following != ':') refuse("a set inside a set");
      if (c == '&' && following == '&') refuse("an intersection of sets");
      if (c == '[') {  // [:name:]
        while (i + 1 < source.size() && source[i] != ']') out += source[i++];
      } else if (c == ']') {
        in_set = false;
      }
    } else {
      if (c == '[') in_set = true;
      if (c == '+' && interval) refuse("{n,m}+");  // possessive in one engine, repeated in the other
      interval = c == '}';
    }
    out += source[i];
  }
  return out;
}

std::string pcre2_message(int error) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(error, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR as_pcre2(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

Pattern::Pattern(const Entry& entry) {
  if (const auto text = entry.find("String")) {
    if (text->string().empty()) text->refuse("an empty string matches nowhere; give it a text or remove the entry");
    literal_ = text->string();
  } else if (const auto regex = entry.find("Regex")) {
    compile(regex->string(), std::string(entry.json().where()) + ": " + regex->path());
  } else {
    entry.refuse("expected {\"String\": ...} or {\"Regex\": ...}");
  }
}

Pattern::Pattern(std::string_view regex, const std::string& where) { compile(regex, where); }

Pattern Pattern::literal(std::string text) {
  Pattern p;
  p.literal_ = std::move(text);
  return p;
}

void Pattern::compile(std::string_view regex, const std::string& where) {
  where_ = where;
  if (regex.empty()) throw Error(where + ": an empty expression; give it a text or remove the entry");
  if (regex.size() > longest_regex) {
    throw Error(where + ": an expression of " + std::to_string(regex.size()) + " bytes; at most " + std::to_string(longest_regex) +
                " are accepted");
  }
  const std::string source = translated(regex, where);
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(pcre2_compile_context_create(nullptr),
                                                                                         pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  std::size_t at = 0;
  // MULTILINE: ^ and $ match at every line in Oniguruma's Ruby syntax.
  constexpr std::uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code* code = pcre2_compile(as_pcre2(source), source.size(), options, &error, &at, context.get());
  if (!code) throw Error(where + ": " + quoted(regex) + ": " + pcre2_message(error));
  code_ = std::shared_ptr<const pcre2_code>(code, [](const pcre2_code* c) { pcre2_code_free(const_cast<pcre2_code*>(c)); });
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;

  limits_.reset(pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!limits_) throw std::bad_alloc();
  pcre2_set_match_limit(limits_.get(), match_limit);
  pcre2_set_depth_limit(limits_.get(), depth_limit);
  pcre2_set_heap_limit(limits_.get(), heap_limit_kib);
}

Search::Search(const Pattern& pattern) : pattern_(&pattern) {
  if (!pattern.code_) return;
  match_.reset(pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  if (!match_) throw std::bad_alloc();
}

void Search::open(std::string_view text) {
  text_ = text;
  from_ = 0;
  matched_ = false;
}

bool Search::find(std::size_t from) {
  if (!pattern_->literal_.empty()) {
    begin_ = text_.find(pattern_->literal_, from);
    end_ = begin_ + pattern_->literal_.size();
    return begin_ != std::string_view::npos;
  }
  const pcre2_code* code = pattern_->code_.get();
  const PCRE2_SPTR text = as_pcre2(text_);
  int found = PCRE2_ERROR_JIT_STACKLIMIT;
  if (pattern_->jit_) found = pcre2_jit_match(code, text, text_.size(), from, 0, match_.get(), pattern_->limits_.get());
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its backtracking points on the heap
    constexpr std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT;
    found = pcre2_match(code, text, text_.size(), from, options, match_.get(), pattern_->limits_.get());
  }
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) throw Error(pattern_->where_ + ": the expression gave up on this text: " + pcre2_message(found));
  const std::size_t* bounds = pcre2_get_ovector_pointer(match_.get());
  begin_ = bounds[0];
  end_ = bounds[1];
  return true;
}

bool Search::next() {
  const bool after_match = matched_;
  const std::size_t last_end = end_;
  while (from_ <= text_.size() && find(from_)) {
    if (begin_ > end_ || begin_ < from_) throw Error(pattern_->where_ + ": the expression moves its own start (\\K)");
    if (begin_ == end_ && after_match && end_ == last_end) {  // an empty match right after a match does not count
      from_ += from_ < text_.size() ? front(text_.substr(from_)).bytes : 1u;
      continue;
    }
    from_ = end_;
    return matched_ = true;
  }
  return matched_ = false;
}

}  // namespace atom::engine::text
