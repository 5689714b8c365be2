#include "chat.hpp"

#include "atom/core/error.hpp"

namespace atom::tools {

namespace {

int marker(const engine::Tokenizer& tokenizer, std::string_view text) {
  const auto id = tokenizer.id_of(text);
  if (!id) throw Error("--chat: this model's vocabulary has no " + std::string(text) + "; it was not trained on ChatML, use --raw");
  return *id;
}

}  // namespace

ChatMl::ChatMl(const engine::Tokenizer& tokenizer)
    : tokenizer_(tokenizer), start_(marker(tokenizer, "<|im_start|>")), end_(marker(tokenizer, "<|im_end|>")) {}

std::vector<int> ChatMl::user_turn(std::string_view text) const {
  std::vector<int> ids{start_};
  const auto add = [&](std::string_view t) {
    for (int id : tokenizer_.encode(t, {.add_special_tokens = false, .parse_special = false})) ids.push_back(id);
  };
  add("user\n" + std::string(text));
  ids.push_back(end_);
  add("\n");
  ids.push_back(start_);
  add("assistant\n");
  return ids;
}

std::vector<int> ChatMl::close(bool ended) const {
  std::vector<int> ids;
  if (!ended) ids.push_back(end_);
  for (int id : tokenizer_.encode("\n", {.add_special_tokens = false})) ids.push_back(id);
  return ids;
}

}  // namespace atom::tools
