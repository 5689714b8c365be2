#include "atom/engine/tokenizer.hpp"

#include <functional>
#include <random>
#include <thread>

#include "atom/core/error.hpp"

#include "../../src/engine/pretokenize.hpp"
#include "tokenizer_fixtures.hpp"

namespace atom::engine {
namespace {

using Ids = std::vector<int>;
constexpr EncodeOptions bare{.add_special_tokens = false};

void expect_cases(const Tokenizer& tokenizer, const std::string& path, bool round_trip) {
  const Json cases = Json::parse_file(path);
  ASSERT_FALSE(cases.as_array("cases").empty());
  for (const Json& c : cases.as_array("cases")) {
    const std::string& text = c.at("text").as_string("text");
    const Ids ids = tokenizer.encode(text, {c.get("add_special_tokens", false), c.get("parse_special", true)});
    EXPECT_EQ(ids, ids_of(c.at("ids"))) << testing::PrintToString(text);
    if (round_trip) {
      EXPECT_EQ(tokenizer.decode(ids), text);
    }
  }
}

TEST(Tokenizer, EncodesTheDemoCases) {
  expect_cases(Tokenizer::from_dir(ATOM_DEMO_MODEL), ATOM_TEST_DATA "/demo_cases.json", false);
}

class TokenizerFixture : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerFixture, EncodesAndDecodesThePublishedCases) {
  const std::string folder = test::published("tokenizers", GetParam());
  if (folder.empty()) GTEST_SKIP() << "set ATOM_FIXTURES";
  const auto tokenizer = Tokenizer::from_file(folder + "/tokenizer.json");
  expect_cases(tokenizer, folder + "/cases.json", true);
  expect_cases(tokenizer, folder + "/cases_extra.json", false);
}

INSTANTIATE_TEST_SUITE_P(, TokenizerFixture, testing::Values("gpt-2", "deepseek-llm", "llama-spm"), [](const auto& name) {
  std::string title = name.param;
  std::erase(title, '-');
  return title;
});

// ---- the vocabulary -------------------------------------------------------------------------------------------------

TEST(Tokenizer, KnowsItsVocabulary) {
  const auto t = Parts{.vocab = R"({"a": 0, "\u0120b": 4})",
                       .merges = "[]",
                       .added = R"([{"id": 9, "content": "<s>", "special": true}])",
                       .decoder = R"({"type": "ByteLevel"})"}
                     .load();
  EXPECT_EQ(t.vocab_size(), 10);
  EXPECT_EQ(t.id_of("<s>"), 9);
  EXPECT_EQ(t.id_of("nothing"), std::nullopt);
  EXPECT_EQ(t.token(4), "\u0120b");
  EXPECT_EQ(t.bytes(4), " b");
  EXPECT_TRUE(t.is_special(9));
  EXPECT_FALSE(t.is_special(0));
  for (const int absent : {-1, 1, 10, 1 << 30}) {
    EXPECT_EQ(t.token(absent), "");
    EXPECT_EQ(t.bytes(absent), "");
    EXPECT_FALSE(t.is_special(absent));
  }
  EXPECT_EQ(t.decode(Ids{0, -1, 1, 10, 1 << 30, 4}), "a b");
}

// ---- merging --------------------------------------------------------------------------------------------------------

TEST(Bpe, MergesLowestRankThenLeftmost) {
  const Parts parts{.vocab = R"({"a": 0, "aa": 1, "aaa": 2, "b": 3, "ab": 4})",
                    .merges = R"(["#version: 0.2", "a b", "a a", "aa a"])"};
  const auto t = parts.load();
  EXPECT_EQ(t.encode("aaa"), (Ids{2}));
  EXPECT_EQ(t.encode("aaaa"), (Ids{1, 1}));
  EXPECT_EQ(t.encode("aab"), (Ids{0, 4}));
  EXPECT_EQ(t.encode("ba"), (Ids{3, 0}));
}

/// Byte-pair encoding as its definition says it, on strings.
Ids defined_bpe(std::string_view text, const std::vector<std::pair<std::string, std::string>>& merges, const Tokenizer& t) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  for (;;) {
    std::size_t best = merges.size(), at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (merges[rank].first == parts[i] && merges[rank].second == parts[i + 1]) best = rank, at = i;
      }
    }
    if (best == merges.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const auto& part : parts) ids.push_back(t.id_of(part).value());
  return ids;
}

TEST(Bpe, EqualsItsDefinitionOnRandomMerges) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> tokens{"a", "b", "c", "d"};
    std::vector<std::pair<std::string, std::string>> merges;
    while (merges.size() < 25) {
      const auto left = tokens[below(tokens.size())], right = tokens[below(tokens.size())];
      if (left.size() + right.size() > 9) continue;
      if (std::find(merges.begin(), merges.end(), std::pair(left, right)) != merges.end()) continue;
      if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) tokens.push_back(left + right);
      merges.emplace_back(left, right);
    }
    std::string vocab, pairs;
    for (const auto& token : tokens)
      vocab += (vocab.empty() ? "{\"" : ", \"") + token + "\": " + std::to_string(&token - tokens.data());
    std::shuffle(merges.begin(), merges.end(), random);
    for (const auto& [left, right] : merges) pairs += (pairs.empty() ? "[[\"" : ", [\"") + left + "\", \"" + right + "\"]";
    const auto t = Parts{.vocab = vocab + "}", .merges = pairs + "]"}.load();
    for (const std::size_t length : {1u, 2u, 10u, 63u, 64u, 65u, 300u}) {  // scanned up to 64 symbols, then by heap
      std::string text;
      for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + below(4));
      EXPECT_EQ(t.encode(text), defined_bpe(text, merges, t)) << text;
    }
  }
}

TEST(Bpe, RemembersPiecesExactly) {  // from 4 KiB on, pieces are remembered
  const Parts parts{.vocab = R"({"a": 0, "\u0000": 1, "a\u0000": 2, " ": 3})",
                    .merges = R"([["a", "\u0000"]])",
                    .pre_tokenizer = R"({"type": "Split", "pattern": {"String": " "}, "behavior": "Removed"})"};
  const auto t = parts.load();
  std::string text;
  Ids want;
  for (int i = 0; i < 1000; ++i) {
    text += std::string("a a\0 \0a ", 8);
    want.insert(want.end(), {0, 2, 1, 0});
  }
  EXPECT_EQ(t.encode(text), want);
}

TEST(Bpe, UnknownCharacters) {
  Parts parts{.vocab = R"({"?": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3})", .merges = "[]"};
  EXPECT_EQ(parts.load().encode("a\u00e9a"), (Ids{1, 1}));  // dropped
  parts.model += R"(, "unk_token": "?")";
  EXPECT_EQ(parts.load().encode("zza\u00e9"), (Ids{0, 0, 1, 0}));
  parts.model += R"(, "fuse_unk": true)";
  EXPECT_EQ(parts.load().encode("zzaz"), (Ids{0, 1, 0}));
  parts.model += R"(, "byte_fallback": true)";
  EXPECT_EQ(parts.load().encode("z\u00e9z\u00e8"), (Ids{0, 2, 3, 0}));  // <0xA8> is missing
}

TEST(Bpe, IgnoreMergesTakesWholePieces) {
  Parts parts{.vocab = R"({"a": 0, "b": 1, "ab": 2, "aba": 3, "\u0120": 4})", .merges = R"([["a", "b"]])"};
  EXPECT_EQ(parts.load().encode("aba"), (Ids{2, 0}));
  parts.model += R"(, "ignore_merges": true)";
  EXPECT_EQ(parts.load().encode("aba"), (Ids{3}));
  parts.pre_tokenizer = R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": false})";
  EXPECT_EQ(parts.load().encode("aba"), (Ids{4, 2, 0}));  // the piece is " aba"
}

// ---- added tokens ---------------------------------------------------------------------------------------------------

Parts with_added(const std::string& more) {
  return {.vocab = R"({"a": 0, "b": 1, " ": 2, "<": 3, ">": 4, "é": 5})",
          .merges = "[]",
          .added = R"([{"id": 10, "content": "<>", "special": true, "normalized": false}, )" + more + "]"};
}

TEST(AddedTokens, TouchEachOtherAndTheLongestWins) {
  const auto t =
      with_added(R"({"id": 11, "content": "<><", "normalized": false}, {"id": 12, "content": "<<", "normalized": false})").load();
  EXPECT_EQ(t.encode("<><>"), (Ids{11, 4}));
  EXPECT_EQ(t.encode("<>a<><>b<"), (Ids{10, 0, 11, 4, 1, 3}));
  EXPECT_EQ(t.encode("<<<>"), (Ids{12, 10}));
  EXPECT_EQ(t.encode("<<><"), (Ids{12, 4, 3}));  // leftmost before longest
}

TEST(AddedTokens, SpecialTextIsPlainWhenNotParsed) {
  const auto t = with_added(R"({"id": 11, "content": "ab", "normalized": false})").load();
  EXPECT_EQ(t.encode("<>ab", {.parse_special = false}), (Ids{3, 4, 11}));
  EXPECT_EQ(t.encode("<>ab"), (Ids{10, 11}));
}

TEST(AddedTokens, StripTakesSpacesBetween) {
  const auto left = with_added(R"({"id": 11, "content": "ab", "normalized": false, "lstrip": true})").load();
  EXPECT_EQ(left.encode("a \t\u3000ab b"), (Ids{0, 11, 2, 1}));
  EXPECT_EQ(left.encode("  ab ab"), (Ids{11, 11}));
  const auto right = with_added(R"({"id": 11, "content": "ab", "normalized": false, "rstrip": true})").load();
  EXPECT_EQ(right.encode("b ab \u00a0 b"), (Ids{1, 2, 11, 1}));
  EXPECT_EQ(right.encode("ab  "), (Ids{11}));
  const auto both = with_added(R"({"id": 11, "content": "ab", "normalized": false, "lstrip": true, "rstrip": true})").load();
  EXPECT_EQ(both.encode(" ab ab <> "), (Ids{11, 11, 10, 2}));
}

TEST(AddedTokens, SingleWordLooksAtItsNeighbours) {
  const auto t = with_added(R"({"id": 11, "content": "ab", "normalized": false, "single_word": true})").load();
  EXPECT_EQ(t.encode("ab <ab> aab"), (Ids{11, 2, 3, 11, 4, 2, 0, 0, 1}));
  EXPECT_EQ(t.encode("éab"), (Ids{5, 0, 1}));
  EXPECT_EQ(t.encode("<>ab"), (Ids{10, 11}));
}

TEST(AddedTokens, NormalizedOnesMatchNormalizedText) {
  Parts parts = with_added(R"({"id": 11, "content": "AB", "normalized": true}, {"id": 12, "content": "BA", "normalized": false})");
  parts.normalizer = R"({"type": "Lowercase"})";
  const auto t = parts.load();
  EXPECT_EQ(t.encode("aBb"), (Ids{11, 1}));
  EXPECT_EQ(t.encode("ba BA"), (Ids{1, 0, 2, 12}));
}

TEST(AddedTokens, NormalizerStartsAgainAfterEach) {
  Parts parts = with_added(R"({"id": 11, "content": "ab", "normalized": false})");
  parts.normalizer = R"({"type": "Prepend", "prepend": "<"})";
  EXPECT_EQ(parts.load().encode("ab<>b"), (Ids{11, 10, 3, 1}));
  EXPECT_EQ(parts.load().encode(""), Ids{});
}

// ---- normalizers ----------------------------------------------------------------------------------------------------

/// A tokenizer of single bytes, which shows what normalization leaves.
std::string normalized(const std::string& normalizer, std::string_view text) {
  std::string vocab = "{";
  for (unsigned b = 0; b < 256; ++b) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    vocab += std::string(b ? ", " : "") + "\"<0x" + hex[b / 16] + hex[b % 16] + ">\": " + std::to_string(b);
  }
  const auto t = Parts{.vocab = vocab + "}",
                       .merges = "[]",
                       .normalizer = normalizer,
                       .decoder = R"({"type": "ByteFallback"})",
                       .model = R"("byte_fallback": true)"}
                     .load();
  return t.decode(t.encode(text));
}

TEST(Normalizer, UnicodeForms) {
  const std::string text = "A\u030a \u212b \ufb01 \uac00 e\u0301\u0316 \u1100\u1161\u11a8";
  EXPECT_EQ(normalized(R"({"type": "NFC"})", text), "\u00c5 \u00c5 \ufb01 \uac00 \u00e9\u0316 \uac01");
  EXPECT_EQ(normalized(R"({"type": "NFD"})", text), "A\u030a A\u030a \ufb01 \u1100\u1161 e\u0316\u0301 \u1100\u1161\u11a8");
  EXPECT_EQ(normalized(R"({"type": "NFKC"})", text), "\u00c5 \u00c5 fi \uac00 \u00e9\u0316 \uac01");
  EXPECT_EQ(normalized(R"({"type": "NFKD"})", text), "A\u030a A\u030a fi \u1100\u1161 e\u0316\u0301 \u1100\u1161\u11a8");
}

TEST(Normalizer, NfcOfCharactersWithoutOwnDecomposition) {
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "\u09c7\u09be"), "\u09cb");  // the second of a pair that is no mark
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "\u0958"), "\u0915\u093c");  // excluded from composition
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "\u304b\u3099"), "\u304c");
  EXPECT_EQ(normalized(R"({"type": "NFC"})", "\u4e00\U0001f999"), "\u4e00\U0001f999");
}

TEST(Normalizer, OrdersLongRunsOfMarksQuickly) {
  std::string marks, below, above;
  for (int i = 0; i < 100'000; ++i) above += "\u0301", below += "\u0316";
  EXPECT_EQ(normalized(R"({"type": "NFD"})", "x" + above + below), "x" + below + above);
}

TEST(Normalizer, OtherSteps) {
  EXPECT_EQ(normalized(R"({"type": "Lowercase"})", "\u00c9\u0130\u03a3x"), "\u00e9i\u0307\u03c3x");
  EXPECT_EQ(normalized(R"({"type": "Strip"})", " \u3000a b\u00a0\n"), "a b");
  EXPECT_EQ(normalized(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " a "), " a");
  EXPECT_EQ(normalized(R"({"type": "Strip"})", " \n "), "");
  EXPECT_EQ(normalized(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "_"})", "a  b   c d"), "a_b_c d");
  EXPECT_EQ(normalized(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"},
                           {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "bb"}]}]})",
                       "aa"),
            "_bbbb");
}

TEST(Normalizer, OutputIsBounded) {
  std::string bomb = R"({"type": "Sequence", "normalizers": [)";
  for (int i = 0; i < 40; ++i)
    bomb += std::string(i ? ", " : "") + R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"})";
  const auto t = Parts{.normalizer = bomb + "]}"}.load();
  EXPECT_THROW((void)t.encode("a"), Error);
}

// ---- pre-tokenizers -------------------------------------------------------------------------------------------------

using Pieces = std::vector<std::string>;

Pieces pieces(const std::string& pre_tokenizer, std::string_view text, bool at_start = true) {
  const Json json = Json::parse(pre_tokenizer, "test");
  const text::Pretokenizer pretokenizer{text::Entry(json, "pre_tokenizer")};
  Pieces list;
  text::Cutter(pretokenizer).cut(text, at_start, [&](std::string_view piece) { list.emplace_back(piece); });
  return list;
}

Pieces split(const std::string& behavior, const std::string& regex, std::string_view text, bool invert = false) {
  return pieces(R"({"type": "Split", "pattern": {"Regex": ")" + regex + R"("}, "behavior": ")" + behavior + R"(", "invert": )" +
                    (invert ? "true}" : "false}"),
                text);
}

TEST(Pretokenizer, SplitBehaviors) {
  EXPECT_EQ(split("Isolated", "-", "a--b-"), (Pieces{"a", "-", "-", "b", "-"}));
  EXPECT_EQ(split("Removed", "-", "a--b-"), (Pieces{"a", "b"}));
  EXPECT_EQ(split("Contiguous", "-", "a--b-"), (Pieces{"a", "--", "b", "-"}));
  EXPECT_EQ(split("MergedWithPrevious", "-", "-a--b-"), (Pieces{"-", "a-", "-", "b-"}));
  EXPECT_EQ(split("MergedWithNext", "-", "-a--b-"), (Pieces{"-a", "-", "-b", "-"}));
  EXPECT_EQ(split("Removed", "[a-z]+", "ab, c", true), (Pieces{"ab", "c"}));
  EXPECT_EQ(split("Isolated", "x", ""), Pieces{});
}

TEST(Pretokenizer, EmptyMatchesCut) { EXPECT_EQ(split("Isolated", "(?=[A-Z])", "oneTwoÉX"), (Pieces{"one", "TwoÉ", "X"})); }

TEST(Pretokenizer, SpaceIsUnicodeWhiteSpace) {
  EXPECT_EQ(split("Removed", "\\\\s", "a\u00a0b\u3000c\u0085d\u2028e"), (Pieces{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(split("Removed", "[\\\\s]", "a\u180eb\u200bc"), (Pieces{"a\u180eb\u200bc"}));
  EXPECT_EQ(split("Removed", "[^\\\\S\\\\n]", "a \nb"), (Pieces{"a", "\nb"}));
  EXPECT_EQ(split("Removed", "\\\\S+", "a\u180eb c"), (Pieces{" "}));
}

TEST(Pretokenizer, WordsHoldMarksAndNumbers) {
  EXPECT_EQ(split("Isolated", "\\\\w+", "a\u0301\u00bd-c"), (Pieces{"a\u0301\u00bd", "-", "c"}));
  EXPECT_EQ(split("Isolated", "[\\\\w-]+|\\\\W", "a\u0301-c !"), (Pieces{"a\u0301-c", " ", "!"}));
  EXPECT_EQ(split("Isolated", "\\\\bt", "at t\u0301t-t"), (Pieces{"at ", "t", "\u0301t-", "t"}));
}

TEST(Pretokenizer, DollarIsTheEndOfALine) {
  EXPECT_EQ(split("Removed", "\\\\s+$", "a  \n b  "), (Pieces{"a", "\n b"}));
  EXPECT_EQ(split("Removed", "b$", "ab\nb"), (Pieces{"a", "\n"}));
}

TEST(Pretokenizer, SpacesAtTheEndTakeLinearTime) {
  const std::string text = std::string(2'000'000, ' ') + "\u4e00";  // quadratic: minutes
  EXPECT_EQ(split("Isolated", "\\\\s+$", text).size(), 1u);
}

TEST(Pretokenizer, RunawayExpressionsStop) { EXPECT_THROW(split("Isolated", "(a+)+b", std::string(200, 'a') + "xb"), Error); }

TEST(Pretokenizer, DigitsPunctuationAndSequences) {
  EXPECT_EQ(pieces(R"({"type": "Digits", "individual_digits": false})", "a12\u00b2b3"), (Pieces{"a", "12\u00b2", "b", "3"}));
  EXPECT_EQ(pieces(R"({"type": "Digits", "individual_digits": true})", "a12"), (Pieces{"a", "1", "2"}));
  EXPECT_EQ(pieces(R"({"type": "Punctuation"})", "a$b\u00bf!"), (Pieces{"a", "$", "b", "\u00bf", "!"}));
  EXPECT_EQ(pieces(R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
                       {"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}]})",
                   "a b1 "),
            (Pieces{" a", " b", " 1", " "}));
}

TEST(Pretokenizer, Metaspace) {
  const auto metaspace = [](const std::string& more) { return R"({"type": "Metaspace", "replacement": "_")" + more + "}"; };
  EXPECT_EQ(pieces(metaspace(""), "a  b"), (Pieces{"_a", "_", "_b"}));
  EXPECT_EQ(pieces(metaspace(R"(, "prepend_scheme": "first")"), "a b", false), (Pieces{"a", "_b"}));
  EXPECT_EQ(pieces(metaspace(R"(, "prepend_scheme": "first")"), "a b", true), (Pieces{"_a", "_b"}));
  EXPECT_EQ(pieces(metaspace(R"(, "prepend_scheme": "always")"), " a"), (Pieces{"_a"}));
  EXPECT_EQ(pieces(metaspace(R"(, "add_prefix_space": false, "split": false)"), "a b"), (Pieces{"a_b"}));
}

// ---- templates and BOS ----------------------------------------------------------------------------------------------

constexpr const char* bos_added =
    R"([{"id": 7, "content": "<s>", "special": true}, {"id": 8, "content": "</s>", "special": true}])";

TEST(Tokenizer, TemplateSurroundsTheText) {
  const auto t =
      Parts{.added = bos_added,
            .post_processor = R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [7, 7]}, "</s>": {"id": "</s>", "ids": [8]}}}]})"}
          .load();
  EXPECT_EQ(t.encode("a"), (Ids{7, 7, 0, 8}));
  EXPECT_EQ(t.encode(""), (Ids{7, 7, 8}));
  EXPECT_EQ(t.encode("a", bare), (Ids{0}));
}

TEST(Tokenizer, AddBosTokenCountsWhereTheTemplateHasNone) {
  Parts parts{.added = bos_added};
  const auto with_config = [&](const std::string& config) {
    return Tokenizer::from_file(TempFile(parts.json()).path(), TempFile(config).path());
  };
  const std::string config = R"({"add_bos_token": true, "bos_token": "<s>", "model_max_length": 1000000000000000019884624838656})";
  EXPECT_EQ(with_config(config).encode("a"), (Ids{7, 0}));
  EXPECT_EQ(with_config(config).encode("a", bare), (Ids{0}));
  EXPECT_EQ(with_config(config).encode("<s>a"), (Ids{7, 0}));
  EXPECT_EQ(with_config(config).encode(""), (Ids{7}));
  EXPECT_EQ(with_config(R"({"add_bos_token": true, "bos_token": {"content": "</s>"}})").encode("a"), (Ids{8, 0}));
  EXPECT_EQ(with_config(R"({"add_bos_token": false, "bos_token": "<s>"})").encode("a"), (Ids{0}));
  parts.post_processor = R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}],
                             "special_tokens": {"x": {"ids": [7]}}})";
  EXPECT_EQ(with_config(config).encode("<s>"), (Ids{7, 7}));
}

// ---- doubtful input -------------------------------------------------------------------------------------------------

TEST(Bad10, IllFormedUtf8BecomesReplacementCharacters) {
  const std::string same = R"({"type": "Lowercase"})";
  const std::string r = "\ufffd";
  EXPECT_EQ(normalized(same, "a\xff\xfe"), "a" + r + r);
  EXPECT_EQ(normalized(same, "\xe2\x82"), r);                              // cut off
  EXPECT_EQ(normalized(same, "\xe2\x82z\xf0\x9f\x98"), r + "z" + r);       // maximal subparts
  EXPECT_EQ(normalized(same, "\xc0\x80\xed\xa0\x80"), r + r + r + r + r);  // overlong, surrogate
  EXPECT_EQ(normalized(same, "\xf4\x90\x80\x80"), r + r + r + r);          // above U+10FFFF
  EXPECT_EQ(normalized(same, "\ufeffx\ufffd"), "\ufeffx\ufffd");           // BOM and U+FFFD are characters
  EXPECT_EQ(normalized(same, std::string_view("\0a\0", 3)), std::string("\0a\0", 3));
}

TEST(Tokenizer, ThreadsShareIt) {
  const auto t = Tokenizer::from_dir(ATOM_DEMO_MODEL);
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "Once upon a time, \u00e9te\u0301 " + std::to_string(i) + (i % 7 ? "" : "\n<|im_end|>");
  const Ids want = t.encode(text);
  const auto work = [&](Ids& ids) {
    for (int i = 0; i < 5; ++i) ids = t.encode(text);
  };
  Ids one, two;
  std::thread a(work, std::ref(one)), b(work, std::ref(two));
  a.join();
  b.join();
  EXPECT_EQ(one, want);
  EXPECT_EQ(two, want);
}

}  // namespace
}  // namespace atom::engine
