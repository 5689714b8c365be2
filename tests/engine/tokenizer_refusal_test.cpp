// Bad tokenizer.json: what Tokenizer refuses to load, and that its message names the file, the entry and the trouble.
#include "atom/core/error.hpp"
#include "atom/engine/tokenizer.hpp"

#include "tokenizer_fixtures.hpp"

namespace atom::engine {
namespace {

void expect_refused(const Parts& parts, const std::string& fragment) {
  const TempFile file(parts.json());
  try {
    (void)Tokenizer::from_file(file.path());
    ADD_FAILURE() << "accepted; expected: " << fragment;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(fragment), std::string::npos) << e.what();
    EXPECT_TRUE(std::string(e.what()).starts_with(file.path() + ": ")) << e.what();
  }
}

TEST(Bad08, BrokenVocabularies) {
  expect_refused({.vocab = R"({"a": 0, "b": 0})"}, R"(model.vocab: "b": id 0 is also that of "a")");
  expect_refused({.vocab = R"({"a": 0, "a": 1})"}, "duplicate key");
  expect_refused({.vocab = R"({"a": -1})"}, R"(model.vocab: "a": id -1 is outside)");
  expect_refused({.vocab = R"({"a": 2147483647})"}, "is outside 0..4194303");
  expect_refused({.vocab = R"({"a": "0"})"}, "model.vocab: expected an integer");
  expect_refused({.vocab = "{}", .merges = "[]"}, "model.vocab: the vocabulary is empty");
}

TEST(Bad08, BrokenMerges) {
  expect_refused({.merges = R"([["a", "b"], ["a", "z"]])"}, R"(model.merges[1]: "z" is not in model.vocab)");
  expect_refused({.merges = R"([["a", "x"]])"}, R"(model.merges[0]: "ax" is not in model.vocab)");
  expect_refused({.merges = R"([["", "a"]])"}, R"(model.merges[0]: "" is not in model.vocab)");
  expect_refused({.merges = R"(["a b c"])"}, "model.merges[0]: expected two tokens");
  expect_refused({.merges = R"(["ab"])"}, "model.merges[0]: expected two tokens");
  expect_refused({.merges = R"([["a"]])"}, "model.merges[0]: expected two tokens");
  expect_refused({.merges = R"([["a", 1]])"}, "model.merges[0]: expected two tokens");
  expect_refused({.merges = "[7]"}, "model.merges[0]: expected two tokens");
  expect_refused({.merges = "null"}, "model: merges is missing");
}

TEST(Bad08, BrokenAddedTokens) {
  expect_refused({.added = R"([{"id": 1, "content": "<s>"}])"}, R"(added_tokens[0]: "<s>" has id 1, which is also that of "b")");
  expect_refused({.added = R"([{"id": 9, "content": "b"}])"}, R"(added_tokens[0]: "b" has id 9, but elsewhere it has 1)");
  expect_refused({.added = R"([{"id": 1099511627776, "content": "b"}])"}, "added_tokens[0]: id 1099511627776 is outside");
  expect_refused({.added = R"([{"id": 9}])"}, "added_tokens[0]: content is missing");
  expect_refused({.added = R"([{"id": 9, "content": ")" + std::string(2000, 'y') + R"("}])"}, "content of 2000 bytes");
}

TEST(Bad08, ModelsItLacks) {
  expect_refused({.model = R"("type": "Unigram")"}, R"(model: type "Unigram" is not supported; supported are BPE)");
  expect_refused({.model = R"("type": "WordPiece")"}, "convert the tokenizer");
  expect_refused({.model = R"("dropout": 0.1)"}, "model.dropout: random merges");
  expect_refused({.model = R"("unk_token": "<unk>")"}, R"(model.unk_token: "<unk>" is not in model.vocab)");
  expect_refused({.model = R"("end_of_word_suffix": "</w>")"}, "model.end_of_word_suffix: word affixes");
}

TEST(Bad08, ComponentsItLacks) {
  expect_refused({.normalizer = R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled"}]})"},
                 R"(normalizer.normalizers[1]: type "Precompiled" is not supported; supported are NFC)");
  expect_refused({.pre_tokenizer = R"({"type": "Whitespace"})"}, R"(pre_tokenizer: type "Whitespace" is not supported)");
  expect_refused({.pre_tokenizer = R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})"},
                 "pre_tokenizer.pretokenizers[1]: stands after ByteLevel");
  expect_refused({.pre_tokenizer = R"({"type": "Split", "pattern": {"String": "x"}, "behavior": "Kept"})"},
                 R"(pre_tokenizer.behavior: behavior "Kept" is not supported)");
  expect_refused({.post_processor = R"({"type": "BertProcessing"})"}, R"(post_processor: type "BertProcessing" is not supported)");
  expect_refused({.decoder = R"({"type": "WordPiece"})"}, R"(decoder: type "WordPiece" is not supported)");
  expect_refused({.decoder = R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})"},
                 "decoder.decoders[1]: ByteFallback is not supported in this place");
  expect_refused({.decoder = R"({"kind": 1})"}, "decoder: type is missing");
}

TEST(Bad08, BrokenTemplates) {
  const auto processor = [](const std::string& single, const std::string& tokens) {
    return Parts{.post_processor =
                     R"({"type": "TemplateProcessing", "single": [)" + single + R"(], "special_tokens": {)" + tokens + "}}"};
  };
  const std::string text = R"({"Sequence": {"id": "A"}})";
  expect_refused(processor(text + "," + text, ""), "a template of one text holds \"A\" once");
  expect_refused(processor("", ""), "post_processor.single: the template has no place for the text");
  expect_refused(processor(R"({"SpecialToken": {"id": "x"}},)" + text, R"("x": {"ids": [99]})"),
                 "post_processor.special_tokens.x.ids[0]: id 99 is not in the vocabulary");
  expect_refused(processor(R"({"SpecialToken": {"id": "x"}},)" + text, ""), "x is missing");
}

TEST(Bad08, ExpressionsItCannotRead) {
  const auto regex = [](const std::string& text) {
    return Parts{.pre_tokenizer = R"({"type": "Split", "pattern": {"Regex": ")" + text + R"("}, "behavior": "Isolated"})"};
  };
  expect_refused(regex("(a"), R"(pre_tokenizer.pattern.Regex: "(a": missing closing parenthesis)");
  expect_refused(regex(std::string(100'000, 'a')), "an expression of 100000 bytes; at most 65536 are accepted");
  expect_refused(regex("[a-z&&[^b]]"), "is not supported; rewrite the expression");
  expect_refused(regex("\\\\h+"), R"(\h is not supported)");
  expect_refused(regex("a\\\\Bb"), R"(\B is not supported)");
  expect_refused(regex("a{1,3}+"), "{n,m}+ is not supported");
  expect_refused(regex(""), "an empty expression");
  expect_refused({.normalizer = R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})"},
                 "an empty string matches nowhere");
  expect_refused({.normalizer = R"({"type": "Replace", "pattern": {"Glob": "*"}, "content": "x"})"},
                 "normalizer.pattern: expected");
}

TEST(Bad08, TooManyOrTooDeepComponents) {
  std::string many = R"({"type": "Digits"})";
  for (int i = 0; i < 100; ++i) many += R"(, {"type": "Digits"})";
  expect_refused({.pre_tokenizer = R"({"type": "Sequence", "pretokenizers": [)" + many + "]}"},
                 "pre_tokenizer: more than 64 components");
  std::string deep, close;
  for (int i = 0; i < 100'000; ++i) {
    deep += R"({"type": "Sequence", "normalizers": [)";
    close += "]}";
  }
  expect_refused({.normalizer = deep + R"({"type": "NFC"})" + close}, "nested deeper");
}

TEST(Bad08, OtherFiles) {
  EXPECT_THROW(Tokenizer::from_dir("/nonexistent"), Error);
  EXPECT_THROW(Tokenizer::from_file(TempFile("").path()), Error);
  EXPECT_THROW(Tokenizer::from_file(TempFile("[]").path()), Error);
  EXPECT_THROW(Tokenizer::from_file(TempFile("{}").path()), Error);
  const TempFile good(Parts{}.json()), config(R"({"add_bos_token": true, "bos_token": "<none>"})");
  EXPECT_THROW(Tokenizer::from_file(good.path(), config.path()), Error);
}

}  // namespace
}  // namespace atom::engine
