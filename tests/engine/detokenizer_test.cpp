#include "atom/engine/detokenizer.hpp"

#include "tokenizer_fixtures.hpp"

namespace atom::engine {
namespace {

using Ids = std::vector<int>;

class DetokenizerFixture : public testing::TestWithParam<const char*> {};

TEST_P(DetokenizerFixture, EmitsThePublishedStreams) {
  const std::string folder = test::published("tokenizers", GetParam());
  if (folder.empty()) GTEST_SKIP() << "set ATOM_FIXTURES";
  const auto tokenizer = Tokenizer::from_file(folder + "/tokenizer.json");
  const Json streams = Json::parse_file(folder + "/stream.json");
  ASSERT_FALSE(streams.as_array("streams").empty());
  for (const Json& stream : streams.as_array("streams")) {
    SCOPED_TRACE(stream.at("name").as_string("name"));
    const bool skip = stream.get("skip_special_tokens", true);
    const Json* before = stream.find("context_ids");
    const Ids ids = ids_of(stream.at("ids")), context = before ? ids_of(*before) : Ids{};
    const auto emit = stream.at("emit").as_array("emit");
    ASSERT_EQ(emit.size(), ids.size());

    Detokenizer detokenizer(tokenizer, skip);
    detokenizer.prime(context);
    std::string sent;
    for (std::size_t k = 0; k < ids.size(); ++k) {
      sent += detokenizer.push(ids[k]);
      EXPECT_EQ(sent, emit[k].as_string("emit")) << "after token " << k;
    }
    sent += detokenizer.finish();
    const std::string& text = stream.at("text").as_string("text");
    EXPECT_EQ(sent, stream.get("emit_may_differ_from_text", false) ? emit.back().as_string("emit") : text);
    if (context.empty()) {
      EXPECT_EQ(tokenizer.decode(ids, skip), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, DetokenizerFixture, testing::Values("gpt-2", "deepseek-llm", "llama-spm"), [](const auto& name) {
  std::string title = name.param;
  std::erase(title, '-');
  return title;
});

/// The text sent for each id, then what finish() sends.
std::vector<std::string> stream(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer);
  std::vector<std::string> sent;
  for (const int id : ids) sent.emplace_back(detokenizer.push(id));
  sent.emplace_back(detokenizer.finish());
  return sent;
}

using Sent = std::vector<std::string>;

/// Tokens 0..255: the bytes; 256: "é" cut after its first byte.
Tokenizer bytes_only() {
  std::string vocab = "{";
  unsigned next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
    char name[32];
    std::snprintf(name, sizeof name, "%s\"\\u%04x\": %u", b ? ", " : "", printable ? b : next++, b);
    vocab += name;
  }
  return Parts{.vocab = vocab + "}", .merges = "[]", .decoder = R"({"type": "ByteLevel"})"}.load();
}

TEST(Detokenizer, HoldsACharacterUntilItIsComplete) {
  const auto t = bytes_only();
  EXPECT_EQ(stream(t, {'a', 0xf0, 0x9f, 0xa6, 0x99, 'b'}), (Sent{"a", "", "", "", "\U0001f999", "b", ""}));
  EXPECT_EQ(stream(t, {0xf0, 0x9f, 0xa6}), (Sent{"", "", "", "\ufffd"}));
  EXPECT_EQ(stream(t, {0xf0, 0x9f, 'x'}), (Sent{"", "", "\ufffdx", ""}));
  EXPECT_EQ(stream(t, {0xe2, 0xe2, 0x82, 0xac}), (Sent{"", "\ufffd", "", "\u20ac", ""}));
  EXPECT_EQ(stream(t, {0xed, 0xa0, 0x80, 0xff}), (Sent{"", "\ufffd\ufffd", "\ufffd", "\ufffd", ""}));
  EXPECT_EQ(stream(t, {}), (Sent{""}));
}

TEST(Detokenizer, AgreesWithDecodeOnEveryPairAndTripleOfCriticalBytes) {
  const auto t = bytes_only();
  const Ids critical{'a', 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff};
  for (const int a : critical) {
    for (const int b : critical) {
      for (const int c : critical) {
        for (const int d : critical) {
          std::string joined;
          for (const auto& part : stream(t, {a, b, c, d})) joined += part;
          ASSERT_EQ(joined, t.decode(Ids{a, b, c, d})) << a << ' ' << b << ' ' << c << ' ' << d;
        }
      }
    }
  }
}

TEST(Detokenizer, PrimedWithAPromptThatEndsInsideACharacter) {
  const auto t = bytes_only();
  Detokenizer d(t);
  d.prime(Ids{'a', 0xc3});
  EXPECT_EQ(d.push(0xa9), "\u00e9");
  EXPECT_EQ(d.finish(), "");
}

TEST(Detokenizer, UnknownAndSpecialIdsAddNothing) {
  const auto t = Parts{.added = R"([{"id": 9, "content": "<s>", "special": true}])"}.load();
  EXPECT_EQ(stream(t, {0, -5, 9, 8, 1 << 30, 1}), (Sent{"a", "", "", "", "", "b", ""}));
  Detokenizer all(t, false);
  EXPECT_EQ(all.push(9), "<s>");
}

TEST(Detokenizer, SharesTheTokenizersLife) {
  Detokenizer d{Parts{}.load()};  // the Tokenizer is gone
  EXPECT_EQ(d.push(3), "ab");
  Detokenizer moved = std::move(d);
  EXPECT_EQ(moved.push(4), "abc");
}

TEST(Detokenizer, StripsAtBothEnds) {
  const Parts parts{
      .decoder =
          R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 2, "stop": 1}]})"};
  const auto t = parts.load();
  EXPECT_EQ(stream(t, {5, 5, 5, 0, 5, 5, 1, 5}), (Sent{"", "", "", " a", "", " ", " b", "", ""}));
  EXPECT_EQ(t.decode(Ids{5, 5, 5, 0, 5, 5, 1, 5}), " a  b");
  EXPECT_EQ(t.decode(Ids{5, 0}), "a");
  EXPECT_EQ(t.decode(Ids{5, 5, 5}), "");
}

TEST(Detokenizer, MetaspaceDropsTheFirstTokensMarks) {
  Parts parts{.vocab = R"({"_": 0, "_a": 1, "b_": 2})", .merges = "[]", .decoder = R"({"type": "Metaspace", "replacement": "_"})"};
  EXPECT_EQ(stream(parts.load(), {1, 1, 0, 2}), (Sent{"a", " a", " ", "b ", ""}));
  Detokenizer primed(parts.load());
  primed.prime(Ids{1});
  EXPECT_EQ(primed.push(1), " a");
  parts.decoder = R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})";
  EXPECT_EQ(parts.load().decode(Ids{1}), " a");
}

TEST(Detokenizer, WithoutADecoderTokensAreJoinedBySpaces) {
  EXPECT_EQ(stream(Parts{.decoder = "null"}.load(), {0, 3, 1}), (Sent{"a", " ab", " b", ""}));
}

TEST(Detokenizer, RewritesPerToken) {
  const Parts parts{
      .vocab = R"({"-a-": 0, "--": 1, "x1y22": 2})",
      .merges = "[]",
      .decoder = R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "[0-9]+"}, "content": "#"},
                                   {"type": "Strip", "content": "-", "start": 1, "stop": 0}, {"type": "Fuse"}]})"};
  EXPECT_EQ(parts.load().decode(Ids{0, 1, 2}), "a--x#y#");
}

TEST(Detokenizer, DecodesALongRunOfBrokenBytesOnce) {  // a run is held only as long as it is undecided
  Parts parts{
      .vocab = R"({"<0xE2>": 0, "<0x82>": 1, "<0xAC>": 2, "a": 3})", .merges = "[]", .decoder = R"({"type": "ByteFallback"})"};
  const auto t = parts.load();
  EXPECT_EQ(stream(t, {0, 1, 2, 0, 3, 0, 1}), (Sent{"", "", "\u20ac", "", "\ufffda", "", "", "\ufffd\ufffd"}));
  EXPECT_EQ(t.decode(Ids{0, 1, 2, 0, 3}), "\ufffd\ufffd\ufffd\ufffda");
  EXPECT_EQ(t.decode(Ids{0, 1, 2, 3}), "\u20aca");
}

}  // namespace
}  // namespace atom::engine
