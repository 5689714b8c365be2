#include "token_text.hpp"

#include <algorithm>
#include <utility>

#include "byte_alphabet.hpp"
#include "utf8.hpp"

namespace atom::engine::text {
namespace {

/// The byte that "<0x0A>" stands for, or -1.
int byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

TokenText::Ends read_ends(const Entry& entry) {
  TokenText::Ends ends{
      .content = entry.string("content"), .start = entry.at("start").integer(), .stop = entry.at("stop").integer()};
  if (ends.content.empty() || ends.start < 0 || ends.stop < 0)
    entry.refuse("expected content of one character, start and stop >= 0");
  return ends;
}

/// Removes up to `most` copies of `content` from one end; returns how many.
std::int64_t strip_start(std::string_view& text, std::string_view content, std::int64_t most) {
  std::int64_t count = 0;
  for (; count < most && text.starts_with(content); ++count) text.remove_prefix(content.size());
  return count;
}
std::int64_t strip_stop(std::string_view& text, std::string_view content, std::int64_t most) {
  std::int64_t count = 0;
  for (; count < most && text.ends_with(content); ++count) text.remove_suffix(content.size());
  return count;
}

}  // namespace

TokenText::TokenText(const std::optional<Entry>& component, const Vocabulary& vocabulary) {
  if (!component) separator_ = " ";
  bool fused = false;
  for (const Entry& entry : flatten(component, "decoders")) {
    const std::string type = entry.string("type");
    const bool per_token = !fused && mode_ == Mode::text;
    if (type == "Fuse") {
      fused = true;
    } else if (type == "Strip" && fused && ends_.content.empty()) {
      ends_ = read_ends(entry);
    } else if (!per_token) {
      entry.refuse(type +
                   " is not supported in this place; supported are Replace, Strip and Metaspace, then ByteLevel or ByteFallback, "
                   "then Fuse, then one Strip");
    } else if (type == "ByteLevel") {
      mode_ = Mode::byte_level;
      fused = true;
    } else if (type == "ByteFallback") {
      mode_ = Mode::byte_fallback;
    } else if (type == "Replace") {
      rewrites_.push_back(
          {.kind = Rewrite::Kind::replace, .pattern = Pattern(entry.at("pattern")), .content = entry.string("content")});
    } else if (type == "Strip") {
      rewrites_.push_back({.kind = Rewrite::Kind::strip, .ends = read_ends(entry)});
    } else if (type == "Metaspace") {
      const bool drop = entry.string("prepend_scheme", entry.flag("add_prefix_space", true) ? "always" : "never") != "never";
      const std::string replacement = entry.string("replacement", "\u2581");
      if (replacement.empty()) entry.refuse("replacement is empty; it has to be one character");
      rewrites_.push_back({.kind = Rewrite::Kind::metaspace, .pattern = Pattern::literal(replacement), .drop_at_start = drop});
    } else {
      entry.refuse_type(type, "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence");
    }
  }
  start_differs_ = !separator_.empty() ||
                   std::any_of(rewrites_.begin(), rewrites_.end(), [](const Rewrite& rewrite) { return rewrite.drop_at_start; });

  offsets_.push_back(0);
  is_byte_.resize(static_cast<std::size_t>(vocabulary.size()));
  for (int id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.has(id)) {
      std::string text = rewritten(vocabulary.token(id), false);
      if (mode_ == Mode::byte_level) {
        if (auto bytes = bytes_of_letters(text)) text = std::move(*bytes);
      } else if (const int byte = byte_of(text); mode_ == Mode::byte_fallback && byte >= 0) {
        is_byte_[static_cast<std::size_t>(id)] = true;
        text.assign(1, static_cast<char>(static_cast<unsigned char>(byte)));
      }
      arena_ += text;
    }
    offsets_.push_back(arena_.size());
  }
}

std::string TokenText::rewritten(std::string_view token, bool at_start) const {
  std::string text = at_start ? "" : separator_;
  text += token;
  for (const Rewrite& rewrite : rewrites_) {
    if (rewrite.kind == Rewrite::Kind::strip) {
      std::string_view rest = text;
      strip_start(rest, rewrite.ends.content, rewrite.ends.start);
      strip_stop(rest, rewrite.ends.content, rewrite.ends.stop);
      text = std::string(rest);
      continue;
    }
    const std::string_view content = rewrite.kind == Rewrite::Kind::replace ? std::string_view(rewrite.content)
                                     : at_start && rewrite.drop_at_start    ? std::string_view()
                                                                            : std::string_view(" ");
    std::string next;
    std::size_t copied = 0;
    Search search(*rewrite.pattern);
    for (search.open(text); search.next(); copied = search.end()) {
      next.append(text, copied, search.begin() - copied).append(content);
    }
    text = next.append(text, copied);
  }
  return text;
}

std::optional<std::string> TokenText::bytes_at_start(std::string_view token) const {
  if (!start_differs_) return std::nullopt;
  std::string text = rewritten(token, true);
  if (mode_ == Mode::byte_level) {
    if (auto bytes = bytes_of_letters(text)) return bytes;
  }
  return text;
}

void TextStream::push(int id, std::string_view token, std::string& out) {
  std::string_view bytes = tokens_->bytes(id);
  std::optional<std::string> first;
  if (std::exchange(at_start_, false) && !tokens_->is_byte(id) && (first = tokens_->bytes_at_start(token))) bytes = *first;
  switch (tokens_->mode()) {
    case TokenText::Mode::text: return write(bytes, out);
    case TokenText::Mode::byte_fallback:
      if (tokens_->is_byte(id)) return push_byte(bytes[0], out);
      end_run(out);
      return write(bytes, out);
    case TokenText::Mode::byte_level: {
      waiting_ += bytes;
      std::string complete;
      waiting_.erase(0, append_complete(complete, waiting_));
      return write(complete, out);
    }
  }
}

void TextStream::push_byte(char byte, std::string& out) {
  waiting_ += byte;
  if (runs_ == Runs::whole) return;
  const auto kind = front(waiting_).kind;
  if (kind == Sequence::Kind::cut_off && !ill_formed_) return;
  if (kind == Sequence::Kind::character && !ill_formed_) {
    write(waiting_, out);
  } else {  // from here to the end of the run nothing is trusted
    ill_formed_ = true;
    for (std::size_t i = 0; i < waiting_.size(); ++i) write(replacement_character, out);
  }
  waiting_.clear();
}

void TextStream::end_run(std::string& out) {
  if (is_valid(waiting_)) {
    write(waiting_, out);
  } else {
    for (std::size_t i = 0; i < waiting_.size(); ++i) write(replacement_character, out);
  }
  waiting_.clear();
  ill_formed_ = false;
}

void TextStream::write(std::string_view text, std::string& out) {
  const auto& ends = tokens_->ends();
  if (ends.content.empty() || text.empty()) {
    out += text;
    return;
  }
  if (strip_ > 0) {
    const std::int64_t stripped = strip_start(text, ends.content, strip_);
    if (text.empty()) {
      strip_ -= stripped;
      return;
    }
    strip_ = 0;
  }
  std::string_view kept = text;
  std::int64_t trailing = strip_stop(kept, ends.content, ends.stop);
  if (kept.empty()) {  // the spaces already held and these are one run
    trailing += std::exchange(held_, 0);
  }
  for (; held_ > 0; --held_) out += ends.content;
  out += kept;
  for (; trailing > ends.stop; --trailing) out += ends.content;
  held_ = trailing;
}

void TextStream::finish(std::string& out) {
  if (tokens_->mode() == TokenText::Mode::byte_fallback) {
    end_run(out);
  } else if (!waiting_.empty()) {
    waiting_.clear();
    write(replacement_character, out);
  }
  held_ = 0;
}

}  // namespace atom::engine::text
