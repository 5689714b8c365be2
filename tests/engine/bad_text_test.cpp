// Texts that are long, monotonous or broken, and vocabularies that do not fit their model.
#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <pthread.h>

#include "atom/core/error.hpp"
#include "atom/engine/engine.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/universal.hpp"

#include "checkpoints.hpp"
#include "tokenizer_fixtures.hpp"

namespace atom::engine {
namespace {

using Ids = std::vector<int>;
const std::string demo = ATOM_DEMO_MODEL;

std::string repeated(std::string_view piece, std::size_t bytes) {
  std::string s;
  s.reserve(bytes + piece.size());
  while (s.size() < bytes) s += piece;
  return s;
}

// Runs `work` in a thread of a quarter of a megabyte of stack.
template <class Work> void on_a_small_stack(Work& work) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{256} << 10);
  pthread_t thread{};
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* w) -> void* {
                  (*static_cast<Work*>(w))();
                  return nullptr;
                },
                &work),
            0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(Bad09, MonotonousTextsTakeLinearTimeAndLittleStack) {
  const auto tokenizer = Tokenizer::from_dir(demo);
  for (const std::string_view piece : {"a", " ", "\u0301", "a\u0301\u0316", "7", "\n", "\u4e2d", "'", "<|im_start|>", "<"}) {
    SCOPED_TRACE(piece);
    const std::string text = repeated(piece, piece == "a" ? 4 << 20 : 1 << 19);
    std::size_t ids = 0;
    double seconds = 0;
    auto encode = [&] {
      const auto start = std::chrono::steady_clock::now();
      ids = tokenizer.encode(text).size();
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    on_a_small_stack(encode);
    EXPECT_GT(ids, 0u);
    EXPECT_LT(seconds, 60) << "with a quadratic step it takes hours";
  }
}

TEST(Bad09, MoreTokensThanTheContextAreRefused) {
  ExecutorOptions o;
  o.model_dir = demo;
  o.context_tokens = 256;
  o.dummy = "empty";
  LLMEngine engine = LLMEngine::load(o, universal_builds());
  const auto admission = engine.add({.prompt = repeated("a ", 1 << 20)});
  EXPECT_FALSE(admission.ok());
  EXPECT_NE(admission.error.message().find("leave room for an answer in max_model_len 256"), std::string::npos)
      << admission.error.message();
}

TEST(Bad10, TextGoesThereAndBackByteForByte) {
  const auto tokenizer = Tokenizer::from_dir(demo);
  const auto back = [&](std::string_view text) { return tokenizer.decode(tokenizer.encode(text, {.parse_special = false})); };
  const auto same = [&](std::string_view text) { EXPECT_EQ(back(text), text); };
  using namespace std::string_view_literals;
  same("");
  same("\0"sv);
  same("a\0b\0\0c"sv);
  same("\ufeff");  // a byte order mark is a character like any other
  same("\ufefftext\ufeff");
  same("\ufffd");
  same("\u0001\u001f\u007f\u0080\u009f");
  same("\U0010ffff\ud7ff\ue000\ufffe\uffff");  // noncharacters are characters
  same("\u200d\u200e\u202e\u2066");
  const std::string r = "\ufffd";
  EXPECT_EQ(back("\xc0\x80"), r + r);  // overlong
  EXPECT_EQ(back("\xe0\x80\xaf"), r + r + r);
  EXPECT_EQ(back("\xed\xa0\xbd\xed\xb8\x80"), r + r + r + r + r + r);  // surrogates, as CESU-8 pairs them
  EXPECT_EQ(back("\xf4\x90\x80\x80"), r + r + r + r);                  // beyond U+10FFFF
  EXPECT_EQ(back("a\xf0\x9f\x98"), "a" + r);                           // cut off: one for the maximal subpart
  EXPECT_EQ(back("\x80\xbf\xfe\xff"), r + r + r + r);
  EXPECT_EQ(back("\xe2\x82\xac\xe2\x82"), "\u20ac" + r);
}

TEST(Bad10, EscapedSurrogatesOfJson) {
  EXPECT_EQ(Json::parse(R"("\ud83d\ude00")", "f").as_string("x"), "\U0001f600");
  EXPECT_EQ(Json::parse(R"("\u0000")", "f").as_string("x"), std::string(1, '\0'));
  for (const char* lone : {R"("\ud800")", R"("\udc00")", R"("\ude00\ud83d")", R"("\ud83dx")"})
    EXPECT_THROW((void)Json::parse(lone, "f"), Error) << lone;
  EXPECT_THROW((void)Json::parse("\ufeff{}", "f"), Error) << "a byte order mark is no JSON";
}

TEST(Bad08, MergesThatFeedOnThemselvesEnd) {
  // Every product is the left or right side of another merge, and the last is the first again, spelt longer.
  Parts parts;
  parts.vocab = R"({"a": 0, "aa": 1, "aaa": 2, "aaaa": 3, "aaaaa": 4})";
  parts.merges = R"([["aa", "aa"], ["a", "a"], ["aaaa", "a"], ["aa", "a"], ["a", "aa"]])";
  const auto tokenizer = parts.load();
  for (std::size_t n : {1u, 2u, 3u, 7u, 100u, 10'000u}) {
    const std::string text(n, 'a');
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

struct Listener final : Progress {
  void update(std::string_view, std::size_t, std::size_t) override {}
  void warn(std::string_view what) override { warnings += what; }
  std::string warnings;
};

TEST(Bad08, VocabulariesLargerThanTheEmbeddingAreSaid) {
  const test::TempDir dir;
  test::RandomCheckpoint{.vocab = 6}.fill().write(dir.path());
  dir.write("tokenizer.json", Parts{}.json());  // ids 0 to 6
  Listener listener;
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.context_tokens = 64;
  o.progress = &listener;
  LLMEngine engine = LLMEngine::load(o, universal_builds());
  EXPECT_EQ(listener.warnings, dir.path() +
                                   "/tokenizer.json: its ids end at 6, the model's embedding at 5; texts that need the others "
                                   "are refused: use the tokenizer that belongs to the model");
  EXPECT_TRUE(engine.add({.prompt = std::string("abc")}).ok());
  const auto admission = engine.add({.prompt = std::string("abx")});
  EXPECT_EQ(admission.error.message(), "prompt: token 1 is 6, outside the vocabulary of 6");
}

TEST(Bad08, VocabulariesSmallerThanTheEmbeddingAreFine) {  // rows of padding
  const test::TempDir dir;
  test::RandomCheckpoint{.vocab = 64}.fill().write(dir.path());
  dir.write("tokenizer.json", Parts{}.json());
  Listener listener;
  ExecutorOptions o;
  o.model_dir = dir.path();
  o.context_tokens = 64;
  o.progress = &listener;
  LLMEngine engine = LLMEngine::load(o, universal_builds());
  EXPECT_EQ(listener.warnings, "");
  SamplingParams p{.max_tokens = 40, .ignore_eos = true, .seed = 3};
  const Prompt prompt = std::string("abc");
  const auto output = engine.generate(std::span(&prompt, 1), p).front();
  EXPECT_EQ(output.token_ids.size(), 40u);
  EXPECT_TRUE(std::ranges::any_of(output.token_ids, [](int id) { return id > 6; })) << "a padding row, which adds no text";
}

}  // namespace
}  // namespace atom::engine
