#include "atom/engine/stop.hpp"

#include <gtest/gtest.h>
#include <random>

namespace atom::engine {
namespace {

using Strings = std::vector<std::string>;

struct Streamed {
  std::string text;
  Strings pieces;
  bool found = false;
};

Streamed stream(const Strings& stops, const Strings& pieces) {
  StopStrings matcher(stops);
  Streamed s;
  for (const std::string& piece : pieces) {
    const auto [text, found] = matcher.push(piece);
    s.pieces.emplace_back(text);
    s.text += text;
    if (found) {
      s.found = true;
      return s;
    }
  }
  s.pieces.emplace_back(matcher.finish());
  s.text += s.pieces.back();
  return s;
}

TEST(StopStrings, SpanPiecesAndDoNotLeak) {
  const Streamed s = stream({"</end>"}, {"hello <", "/e", "n", "d> more"});
  EXPECT_EQ(s.pieces, (Strings{"hello ", "", "", ""}));
  EXPECT_TRUE(s.found);
}

TEST(StopStrings, WhatTurnsOutHarmlessIsReleased) {
  const Streamed s = stream({"</end>"}, {"a </e", "x", "</", "end"});
  EXPECT_EQ(s.pieces, (Strings{"a ", "</ex", "", "", "</end"}));
  EXPECT_FALSE(s.found);
}

TEST(StopStrings, OnlyWhatMayBecomeOneIsWithheld) {
  EXPECT_EQ(stream({"aab"}, {"aaa"}).pieces, (Strings{"a", "aa"}));
  EXPECT_EQ(stream({"xyz"}, {"hello"}).pieces, (Strings{"hello", ""}));
}

TEST(StopStrings, FirstCompleteMatchWinsThenTheLongest) {
  EXPECT_EQ(stream({"abcd", "bc"}, {"xabcdx"}).text, "xa");  // bc is complete first
  EXPECT_EQ(stream({"bc", "abc"}, {"xabc"}).text, "x");
  EXPECT_EQ(stream({"bc", "abc"}, {"xbc"}).text, "x");
}

TEST(StopStrings, BAD18PrefixOfItselfIsFoundWhereverItBegins) {
  EXPECT_EQ(stream({"aaab"}, {"aa", "aa", "aab", "c"}).text, "aaa");
  EXPECT_EQ(stream({"abab!"}, {"aba", "baba", "b!"}).text, "abab");
}

TEST(StopStrings, BAD18OneMegabyteIsExactAndLinear) {
  const std::string stop = std::string((1 << 20) - 1, 'a') + "b";
  Strings pieces((1 << 20) / 64 + 1, std::string(64, 'a'));
  pieces.push_back("b tail");
  const Streamed s = stream({stop}, pieces);
  EXPECT_TRUE(s.found);
  EXPECT_EQ(s.text, std::string(65, 'a'));
}

TEST(StopStrings, NoneMeansPassThrough) { EXPECT_EQ(stream({}, {"a", "b"}).pieces, (Strings{"a", "b", ""})); }

// The definition: byte by byte, does the text end in a stop string?
Streamed defined(const Strings& stops, const std::string& text) {
  Streamed s;
  for (const char c : text) {
    s.text += c;
    std::size_t longest = 0;
    for (const std::string& stop : stops)
      if (s.text.ends_with(stop)) longest = std::max(longest, stop.size());
    if (longest == 0) continue;
    s.text.resize(s.text.size() - longest);
    s.found = true;
    break;
  }
  return s;
}

TEST(StopStrings, AgreeWithTheDefinitionForEverySplit) {
  std::mt19937 random(1);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  const auto word = [&](int n) {
    std::string s;
    while (n-- > 0) s += pick(0, 2) ? 'a' : 'b';
    return s;
  };
  int found = 0;
  for (int round = 0; round < 20000; ++round) {
    Strings stops, pieces;
    for (int i = pick(1, 3); i > 0; --i) stops.push_back(word(pick(1, 8)));
    std::string text;
    for (int i = pick(0, 12); i > 0; --i) text += pieces.emplace_back(word(pick(0, 4)));
    const Streamed got = stream(stops, pieces), want = defined(stops, text);
    ASSERT_EQ(got.text, want.text);
    ASSERT_EQ(got.found, want.found);
    std::string shown;
    for (const std::string& piece : got.pieces) ASSERT_TRUE(want.text.starts_with(shown += piece)) << "a stop string leaked";
    found += want.found;
  }
  EXPECT_GT(found, 1000);
  EXPECT_LT(found, 19000);
}

TEST(StopRules, ReasonsWinInTheDocumentedOrder) {
  const StopRules rules{.eos = {1, 2}, .stop_token_ids = {2, 3}, .min_tokens = 2, .max_tokens = 5, .max_context = 8};
  EXPECT_EQ(end_by_token(rules, 1, 3), FinishReason::eos);
  EXPECT_EQ(end_by_token(rules, 2, 3), FinishReason::eos);
  EXPECT_EQ(end_by_token(rules, 3, 3), FinishReason::stop_token);
  EXPECT_EQ(end_by_token(rules, 4, 3), FinishReason::none);
  EXPECT_EQ(end_by_token(rules, 1, 2), FinishReason::none);  // min_tokens
  EXPECT_EQ(end_by_length(rules, 3, 5), FinishReason::max_tokens);
  EXPECT_EQ(end_by_length(rules, 4, 4), FinishReason::context_end);
  EXPECT_EQ(end_by_length(rules, 3, 4), FinishReason::none);
}

}  // namespace
}  // namespace atom::engine
