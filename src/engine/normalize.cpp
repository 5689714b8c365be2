#include "normalize.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utf8proc.h>
#include <utility>

#include "utf8.hpp"

namespace atom::engine::text {
namespace {

struct Form {
  bool compose, compatible;
};

/// Whether a character stays itself in NFC whatever stands beside it. (May say no for a few that do.)
bool inert_in_nfc(char32_t c) {
  if (c < 0x300) return true;                   // the first combining mark, and no character before it has another canonical form
  if (c >= 0x1100 && c < 0x1200) return false;  // Hangul Jamo compose by rule, not by table
  constexpr auto none = 0xffff, second_of_pair = 0x8000;  // as utf8proc stores them
  const utf8proc_property_t* p = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  return p->combining_class == 0 && p->decomp_seqindex == none && (p->comb_index == none || p->comb_index < second_of_pair);
}

bool is_nfc(std::string_view text) {
  for (;;) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) return true;
    if (!inert_in_nfc(take(text))) return false;
  }
}

/// Marks in canonical order: each run of marks sorted by class, equal classes as they stood.
void order_marks(std::vector<utf8proc_int32_t>& scalars) {
  // utf8proc orders by exchanging neighbours, quadratic in the run; a prompt may be one run of a million marks.
  const auto mark_class = [](utf8proc_int32_t c) { return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class; };
  const auto is_mark = [&](utf8proc_int32_t c) { return mark_class(c) != 0; };
  const auto by_class = [&](utf8proc_int32_t a, utf8proc_int32_t b) { return mark_class(a) < mark_class(b); };
  for (auto run = scalars.begin(); run != scalars.end();) {
    run = std::find_if(run, scalars.end(), is_mark);
    const auto end = std::find_if_not(run, scalars.end(), is_mark);
    if (!std::is_sorted(run, end, by_class)) std::stable_sort(run, end, by_class);
    run = end;
  }
}

void to_form(std::string_view text, Form form, std::string& out) {
  int options = UTF8PROC_STABLE | (form.compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (form.compatible) options |= UTF8PROC_COMPAT;
  const auto flags = static_cast<utf8proc_option_t>(options);
  std::vector<utf8proc_int32_t> scalars;
  scalars.reserve(text.size());
  while (!text.empty()) {
    const auto c = static_cast<utf8proc_int32_t>(take(text));
    std::array<utf8proc_int32_t, 32> parts;  // no character has more than 18
    int boundary = 0;
    const auto n = utf8proc_decompose_char(c, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()), flags, &boundary);
    scalars.insert(scalars.end(), parts.begin(), parts.begin() + std::max<utf8proc_ssize_t>(n, 0));
  }
  order_marks(scalars);
  auto size = static_cast<utf8proc_ssize_t>(scalars.size());
  if (form.compose) size = utf8proc_normalize_utf32(scalars.data(), size, flags);
  for (const auto c : std::span(scalars).first(static_cast<std::size_t>(size))) append(out, static_cast<char32_t>(c));
}

void to_lower(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const char32_t c = take(text);
    if (c == 0x130) {  // the only character whose lower case is two
      out += "i\xcc\x87";
    } else {
      append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
}

std::string_view stripped(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    std::string_view rest = text;
    if (!is_space(take(rest))) break;
    text = rest;
  }
  while (right && !text.empty()) {
    const std::size_t last = last_begin(text);
    if (!is_space(front(text.substr(last)).scalar)) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace

Normalizer::Normalizer(const std::optional<Entry>& component) {
  using Kind = Step::Kind;
  for (const Entry& entry : flatten(component, "normalizers")) {
    const std::string type = entry.string("type");
    if (type == "NFC") {
      steps_.push_back({.kind = Kind::nfc});
    } else if (type == "NFD") {
      steps_.push_back({.kind = Kind::nfd});
    } else if (type == "NFKC") {
      steps_.push_back({.kind = Kind::nfkc});
    } else if (type == "NFKD") {
      steps_.push_back({.kind = Kind::nfkd});
    } else if (type == "Prepend") {
      steps_.push_back({.kind = Kind::prepend, .content = entry.string("prepend")});
    } else if (type == "Replace") {
      steps_.push_back({.kind = Kind::replace, .content = entry.string("content"), .pattern = Pattern(entry.at("pattern"))});
    } else if (type == "Lowercase") {
      steps_.push_back({.kind = Kind::lowercase});
    } else if (type == "Strip") {
      steps_.push_back({.kind = Kind::strip, .left = entry.flag("strip_left", true), .right = entry.flag("strip_right", true)});
    } else {
      entry.refuse_type(type, "NFC, NFD, NFKC, NFKD, Prepend, Replace, Lowercase, Strip, Sequence");
    }
  }
}

std::string_view Normalizer::apply(std::string_view text, std::string& storage, std::size_t most_bytes) const {
  using Kind = Step::Kind;
  std::string next;
  for (const Step& step : steps_) {
    next.clear();
    switch (step.kind) {
      case Kind::nfc:
        if (is_nfc(text)) continue;
        to_form(text, {.compose = true, .compatible = false}, next);
        break;
      case Kind::nfd:
      case Kind::nfkc:
      case Kind::nfkd:
        if (ascii_prefix(text) == text.size()) continue;
        to_form(text, {.compose = step.kind == Kind::nfkc, .compatible = step.kind != Kind::nfd}, next);
        break;
      case Kind::prepend:
        if (text.empty()) continue;
        next.append(step.content).append(text);
        break;
      case Kind::replace: {
        Search search(*step.pattern);
        std::size_t copied = 0;
        for (search.open(text); search.next();) {
          next.append(text.substr(copied, search.begin() - copied)).append(step.content);
          copied = search.end();
          if (next.size() > most_bytes) break;
        }
        next.append(text.substr(copied));
        break;
      }
      case Kind::lowercase: to_lower(text, next); break;
      case Kind::strip: text = stripped(text, step.left, step.right); continue;
    }
    if (next.size() > most_bytes) throw Error("tokenizer: the normalized text exceeds " + std::to_string(most_bytes) + " bytes");
    storage.swap(next);
    text = storage;
  }
  return text;
}

}  // namespace atom::engine::text
