#include "pretokenize.hpp"

#include <utility>

namespace atom::engine::text {
namespace {

constexpr std::string_view gpt2_words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

Pretokenizer::Pretokenizer(const std::optional<Entry>& component) {
  for (const Entry& entry : flatten(component, "pretokenizers")) {
    if (byte_level_) entry.refuse("stands after ByteLevel; only ByteLevel as the last one is supported");
    const std::string type = entry.string("type");
    const std::string where = std::string(entry.json().where()) + ": " + entry.path();
    if (type == "Split") {
      stages_.push_back({.pattern = Pattern(entry.at("pattern")),
                         .behavior = behavior_of(entry.at("behavior")),
                         .invert = entry.flag("invert", false)});
    } else if (type == "ByteLevel") {
      byte_level_ = true;
      Stage stage;
      if (entry.flag("use_regex", true)) stage.pattern = Pattern(gpt2_words, where);
      if (entry.flag("add_prefix_space", true)) stage.edit = Edit::space_in_front;
      stages_.push_back(std::move(stage));
    } else if (type == "Digits") {
      const bool each = entry.flag("individual_digits", false);
      stages_.push_back({.pattern = Pattern(R"(\p{N})", where), .behavior = each ? Behavior::isolated : Behavior::contiguous});
    } else if (type == "Punctuation") {
      const auto behavior = entry.find("behavior");
      stages_.push_back(
          {.pattern = Pattern(R"([\p{P}$+<=>^`|~])", where), .behavior = behavior ? behavior_of(*behavior) : Behavior::isolated});
    } else if (type == "Metaspace") {
      stages_.push_back(metaspace(entry));
    } else {
      entry.refuse_type(type, "Split, ByteLevel, Digits, Punctuation, Metaspace, Sequence");
    }
  }
}

Pretokenizer::Behavior Pretokenizer::behavior_of(const Entry& entry) {
  const std::string& name = entry.string();
  if (name == "Isolated") return Behavior::isolated;
  if (name == "Removed") return Behavior::removed;
  if (name == "Contiguous") return Behavior::contiguous;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  entry.refuse("behavior " + quoted(name) +
               " is not supported; supported are Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext");
}

Pretokenizer::Stage Pretokenizer::metaspace(const Entry& entry) {
  Stage stage{
      .behavior = Behavior::merged_with_next, .edit = Edit::metaspace, .replacement = entry.string("replacement", "\u2581")};
  // Older files say add_prefix_space instead of prepend_scheme.
  const std::string scheme = entry.string("prepend_scheme", entry.flag("add_prefix_space", true) ? "always" : "never");
  if (scheme == "always") {
    stage.prepend = Prepend::always;
  } else if (scheme == "first") {
    stage.prepend = Prepend::first;
  } else if (scheme != "never") {
    entry.refuse("prepend_scheme " + quoted(scheme) + " is not supported; supported are always, first, never");
  }
  if (stage.replacement.empty()) entry.refuse("replacement is empty; it has to be one character");
  if (entry.flag("split", true)) stage.pattern = Pattern::literal(stage.replacement);
  return stage;
}

Cutter::Cutter(const Pretokenizer& pretokenizer) : pretokenizer_(&pretokenizer) {
  for (const auto& stage : pretokenizer.stages_) {
    searches_.push_back(stage.pattern ? std::optional<Search>(*stage.pattern) : std::nullopt);
  }
}

void Cutter::run(std::size_t index, std::string_view text, bool at_start, const Sink& sink) {
  using Behavior = Pretokenizer::Behavior;
  using Edit = Pretokenizer::Edit;
  using Prepend = Pretokenizer::Prepend;
  if (text.empty()) return;
  if (index == searches_.size()) return sink(text);
  const Pretokenizer::Stage& stage = pretokenizer_->stages_[index];

  std::string edited;
  if (stage.edit == Edit::space_in_front && !text.starts_with(' ')) {
    text = edited.append(1, ' ').append(text);
  } else if (stage.edit == Edit::metaspace) {
    const bool prepend = stage.prepend == Prepend::always || (stage.prepend == Prepend::first && at_start);
    if (prepend && !text.starts_with(' ') && !text.starts_with(stage.replacement)) edited += stage.replacement;
    for (std::size_t space; (space = text.find(' ')) != std::string_view::npos; text.remove_prefix(space + 1)) {
      edited.append(text.substr(0, space)).append(stage.replacement);
    }
    text = edited.append(text);
  }

  const auto hand_on = [&](std::size_t begin, std::size_t end) {
    run(index + 1, text.substr(begin, end - begin), at_start && begin == 0, sink);
  };
  if (!searches_[index]) return hand_on(0, text.size());

  // The text is a row of items, matches and the gaps between them; a behavior says which neighbours make one piece.
  std::size_t begin = 0, end = 0;  // the piece under construction
  bool have = false, previous = false;
  const auto item = [&](std::size_t item_begin, std::size_t item_end, bool match) {
    match = match != stage.invert;
    const bool join = have && ((stage.behavior == Behavior::contiguous && match == previous) ||
                               (stage.behavior == Behavior::merged_with_previous && match && !previous) ||
                               (stage.behavior == Behavior::merged_with_next && !match && previous));
    if (!join) {
      if (have) hand_on(begin, end);
      begin = item_begin;
    }
    end = item_end;
    have = !(match && stage.behavior == Behavior::removed);
    previous = match;
  };
  Search& search = *searches_[index];
  std::size_t gap = 0;
  for (search.open(text); search.next(); gap = search.end()) {
    if (gap < search.begin()) item(gap, search.begin(), false);
    item(search.begin(), search.end(), true);
  }
  if (gap < text.size()) item(gap, text.size(), false);
  if (have) hand_on(begin, end);
}

}  // namespace atom::engine::text
